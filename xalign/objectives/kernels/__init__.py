"""What objectives compute with: pure functions on tensors, fused where the plain formula would waste
memory."""
