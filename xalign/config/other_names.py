"""Keys of ours by the names that other trainers have for them (PyTorch Lightning, transformers)."""

KEYS = {
    "max_steps": "trainer.steps",
    "min_steps": "trainer.steps",
    "max_epochs": "trainer.steps; training goes by steps, not by epochs",
    "min_epochs": "trainer.steps; training goes by steps, not by epochs",
    "num_train_epochs": "trainer.steps; training goes by steps, not by epochs",
    "max_time": "trainer.steps; a run that is stopped goes on with the same command",
    "accelerator": "none: a GPU is taken where there is one; CUDA_VISIBLE_DEVICES= hides it",
    "strategy": "strategy, as in strategy=ddp",
    "num_nodes": "trainer.nodes",
    "gpus": "trainer.devices",
    "num_processes": "trainer.devices",
    "gradient_clip_val": "trainer.clip_norm",
    "gradient_clip_algorithm": "loss.combine",
    "max_grad_norm": "trainer.clip_norm",
    "accumulate_grad_batches": "none: it would add no negatives to a contrastive batch; raise "
    "trainer.batch_size instead",
    "gradient_accumulation_steps": "none: it would add no negatives to a contrastive batch; raise "
    "trainer.batch_size instead",
    "fast_dev_run": "experiment=quick",
    "overfit_batches": "debug=overfit",
    "detect_anomaly": "debug=anomaly",
    "limit_train_batches": "trainer.steps",
    "limit_val_batches": "validation.limit",
    "limit_test_batches": "benchmark.limit",
    "limit_predict_batches": "benchmark.limit",
    "benchmark": "none: texts differ in length; what is measured is benchmark=NAME",
    "num_sanity_val_steps": "none: what validation needs is looked up before training",
    "val_check_interval": "trainer.evaluate_every",
    "check_val_every_n_epoch": "trainer.evaluate_every",
    "eval_steps": "trainer.evaluate_every",
    "log_every_n_steps": "none: every step is logged; gradients every trainer.gradient_stats_every",
    "logging_steps": "none: every step is logged; gradients every trainer.gradient_stats_every",
    "save_steps": "trainer.checkpoint_every",
    "enable_checkpointing": "trainer.checkpoint_every",
    "default_root_dir": "run.dir",
    "output_dir": "run.dir",
    "ckpt_path": "none: the same command goes on from the newest checkpoint in run.dir",
    "resume_from_checkpoint": "none: the same command goes on from the newest checkpoint in run.dir",
    "overwrite_output_dir": "run.rerun",
    "report_to": "logger, as in logger=wandb",
    "logger": "logger, as in logger=wandb",
    "callbacks": "none: checkpoints, measurements and a guard against divergence are always there",
    "profiler": "none: plan=true shows time and memory, metrics.jsonl the time of each phase",
    "plugins": "strategy",
    "deterministic": "none: a run repeats to the bit on the same machine; seed",
    "inference_mode": "none: measurements need no gradient",
    "use_distributed_sampler": "none: each rank draws its own part",
    "sync_batchnorm": "none: the models have none",
    "reload_dataloaders_every_n_epochs": "none: the corpus stays as it is",
    "enable_progress_bar": "none: there is a bar on a terminal only",
    "enable_model_summary": "plan=true",
    "enable_autolog_hparams": "none: the whole config is in config.yaml",
    "barebones": "none",
    "model_registry": "none",
    "learning_rate": "optimizer.lr",
    "warmup_ratio": "optimizer.warmup_fraction",
    "warmup_steps": "optimizer.warmup_fraction, a share of the steps",
    "per_device_train_batch_size": "trainer.batch_size",
    "gradient_checkpointing": "trainer.activation_checkpointing",
    "bf16": "trainer.precision=bf16",
    "fp16": "trainer.precision=bf16; fp16 is not offered",
    "max_seq_length": "trainer.max_length",
    "temperature": "loss.tau, or languages.temperature",
    "dataset": "data",
    "lang": "languages.targets",
    "langs": "languages.targets",
}
"""Their name -> what to use here."""

VALUES = {
    "precision": {
        "bf16-mixed": "bf16",
        "bf16-true": "bf16, and with optimizer=adamw_bf16 the weights too",
        "bfloat16": "bf16",
        "16": "bf16; fp16 is not offered",
        "16-mixed": "bf16; fp16 is not offered",
        "16-true": "bf16; fp16 is not offered",
        "fp16": "bf16; fp16 is not offered",
        "float16": "bf16; fp16 is not offered",
        "32": "fp32",
        "32-true": "fp32",
        "float32": "fp32",
    },
    "strategy": {
        "auto": "single",
        "single_device": "single",
        "ddp_spawn": "ddp",
        "ddp_fork": "ddp",
        "ddp_notebook": "ddp",
        "ddp_find_unused_parameters_true": "ddp",
        "ddp_find_unused_parameters_false": "ddp",
        "fsdp2": "fsdp",
        "fsdp_cpu_offload": "fsdp with strategy.cpu_offload=true",
        "model_parallel": "fsdp",
        "deepspeed": "fsdp",
        "deepspeed_stage_2": "fsdp",
        "deepspeed_stage_3": "fsdp",
    },
}
"""Last part of a key of ours -> their value of it -> ours."""

HYDRA = {
    "hydra.run.dir": "not used here; the folder of a run is run.dir",
    "hydra.sweep.subdir": "not used here; the folder of the runs is run.dir",
    "hydra.job.chdir": "not used here; paths are relative to where the command is given",
}
"""Keys of Hydra's that would be accepted and ignored -> what to use here."""


def hint(key: str, value: str) -> str | None:
    """What to write here for another trainer's value of a key."""
    name = key.removesuffix(".name").rpartition(".")[2]
    return VALUES.get(name, {}).get(value)
