"""A training step of transformers' T5ForConditionalGeneration as its users run it: torch.compile, autocast, fused AdamW.

One line of JSON as `synthesizer bench step --json` prints. Random weights and tokens, no dropout; nothing is downloaded.
"""
import argparse, json, re, time
import torch
from transformers import T5Config, T5ForConditionalGeneration

ap = argparse.ArgumentParser()
for name, value in dict(batch=8, source=512, target=114, layers=6, d_model=512, d_ff=2048, heads=8, d_head=64, vocab=32128,
                        steps=5, threads=2).items():
    ap.add_argument("--" + name.replace("_", "-"), type=int, default=value)
ap.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
a = ap.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)
model = T5ForConditionalGeneration(T5Config(vocab_size=a.vocab, d_model=a.d_model, d_kv=a.d_head, d_ff=a.d_ff, num_layers=a.layers,
    num_decoder_layers=a.layers, num_heads=a.heads, dropout_rate=0.0, use_cache=False, decoder_start_token_id=0)).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
compiled = torch.compile(model)
x, y = (torch.randint(1, a.vocab, (a.batch, length)) for length in (a.source, a.target))
seconds = []
for step in range(a.steps + 2):
    if step == 2:
        open("/proc/self/clear_refs", "w").write("5")  # the peak of a step, not of the compiler
    start = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.dtype == "bf16"):
        loss = compiled(input_ids=x, labels=y).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    loss = loss.item()
    seconds.append(time.perf_counter() - start)
peak = int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) * 1024
print(json.dumps(dict(peer="transformers", dtype=a.dtype, seconds_per_step=min(seconds[2:]), peak_bytes=peak, loss=loss)))
