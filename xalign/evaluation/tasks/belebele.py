"""Belebele (Bandarkar et al. 2024): reading comprehension, four answers, 122 languages.

The wording is lm-evaluation-harness 0.4.13's, with English letters in all languages. The set is a test
split only: there are no demonstrations.
"""

from xalign.base.languages import canonical
from xalign.evaluation.sets.files import Layout, Row, Source
from xalign.evaluation.sets.question_set import QuestionSet, QuestionTask
from xalign.evaluation.sets.templates import Template

CODES = """
acm_Arab afr_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn ars_Arab ary_Arab arz_Arab asm_Beng azj_Latn
bam_Latn ben_Beng ben_Latn bod_Tibt bul_Cyrl cat_Latn ceb_Latn ces_Latn ckb_Arab dan_Latn deu_Latn ell_Grek
eng_Latn est_Latn eus_Latn fin_Latn fra_Latn fuv_Latn gaz_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr
hin_Deva hin_Latn hrv_Latn hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan
kac_Latn kan_Knda kat_Geor kaz_Cyrl kea_Latn khk_Cyrl khm_Khmr kin_Latn kir_Cyrl kor_Hang lao_Laoo lin_Latn
lit_Latn lug_Latn luo_Latn lvs_Latn mal_Mlym mar_Deva mkd_Cyrl mlt_Latn mri_Latn mya_Mymr nld_Latn nob_Latn
npi_Deva npi_Latn nso_Latn nya_Latn ory_Orya pan_Guru pbt_Arab pes_Arab plt_Latn pol_Latn por_Latn ron_Latn
rus_Cyrl shn_Mymr sin_Latn sin_Sinh slk_Latn slv_Latn sna_Latn snd_Arab som_Latn sot_Latn spa_Latn srp_Cyrl
ssw_Latn sun_Latn swe_Latn swh_Latn tam_Taml tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi tsn_Latn tso_Latn
tur_Latn ukr_Cyrl urd_Arab urd_Latn uzn_Latn vie_Latn war_Latn wol_Latn xho_Latn yor_Latn zho_Hans zho_Hant
zsm_Latn zul_Latn
"""

ANSWERS = ("mc_answer1", "mc_answer2", "mc_answer3", "mc_answer4")

CONTEXT = (
    "P: {flores_passage}\nQ: {question}\nA: {mc_answer1}\nB: {mc_answer2}\nC: {mc_answer3}\nD: {mc_answer4}\n"
    "Answer:"
)


def fields(row: Row, language: str) -> dict[str, str]:
    """The texts; only the question loses white space around."""
    return {column: row[column] for column in ("flores_passage", *ANSWERS)} | {
        "question": row["question"].strip()
    }


QUESTIONS = QuestionSet(
    source=Source(
        name="belebele",
        hub="facebook/belebele",
        languages={canonical(code): code for code in CODES.split()},
        splits={"test": "test"},
        layouts=(Layout("{language}.jsonl", "test"),),
    ),
    split="test",
    texts=(("flores_passage",), ("question",), ANSWERS),
    label="correct_answer_num",
    labels=(("1", 1), ("2", 2), ("3", 3), ("4", 4)),
    styles={"harness": Template((CONTEXT,), (" A", " B", " C", " D"))},
    fields=fields,
)


class Belebele(QuestionTask):
    """The set's questions."""

    label = "Belebele"
    questions = QUESTIONS


TASK = Belebele
