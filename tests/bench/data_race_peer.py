"""The loader's peer: mosaicml-streaming reads windows of tokens, a numpy collator makes T5's span-corruption batches of them.

    data_race_peer.py --text FILE --tokenizer spiece.model --folder DIR [--batch 128] [--input-length 512] [--batches 200]

FILE has a document a line; it is tokenized into DIR once. Prints a line of JSON; tokens are inputs and targets, as
`synthesizer bench data` counts them. The collator computes what transformers' example collator for T5 does (noise masks one
example at a time, all else on the whole batch), from the description in Raffel et al. 2019, section 3.1.4: noise and kept
tokens are each cut at random into as many spans, which take turns; a noise span becomes one sentinel in the inputs, and the
targets are the sentinels with what they stand for.
"""
import argparse, json, os, time
import numpy as np

WARM_UP = 8


def raw_lengths(input_length, density=0.15, mean=3.0):
    """The longest window whose inputs fit, and the lengths of its inputs and targets."""
    def lengths(raw):
        noise = min(max(round(raw * density), 1), raw - 1)
        spans = max(round(noise / mean), 1)
        return raw - noise + spans + 1, noise + spans + 1
    raw = input_length
    while lengths(raw + 1)[0] <= input_length:
        raw += 1
    return raw, *lengths(raw)


class SpanCorruption:
    def __init__(self, raw, pieces, sentinels=100, density=0.15, mean=3.0, eos=1, start=0):
        self.raw, self.last, self.density, self.mean, self.eos, self.start = raw, pieces + sentinels, density, mean, eos, start

    def cut(self, items, spans):
        """The lengths of `spans` non-empty parts of `items` in a row, all ways alike likely."""
        first = np.arange(items - 1) < spans - 1
        np.random.shuffle(first)
        return np.unique(np.cumsum(np.pad(first, (1, 0))), return_counts=True)[1]

    def mask(self):
        noise = min(max(int(np.round(self.raw * self.density)), 1), self.raw - 1)
        spans = max(int(np.round(noise / self.mean)), 1)
        lengths = np.stack([self.cut(self.raw - noise, spans), self.cut(noise, spans)], axis=1).reshape(-1)
        begins = np.zeros(self.raw, dtype=np.int8)
        begins[np.cumsum(lengths)[:-1]] = 1
        return np.cumsum(begins) % 2 == 1

    def with_sentinels(self, tokens, noise):
        """A sentinel at the beginning of each masked span, nothing for the rest of it; eos at the end."""
        begins = noise & ~np.pad(noise, ((0, 0), (1, 0)))[:, :-1]
        numbered = np.where(begins, self.last - np.cumsum(begins, axis=-1), tokens)
        kept = numbered[~(noise & ~begins)].reshape(len(tokens), -1)
        return np.concatenate([kept, np.full((len(tokens), 1), self.eos, kept.dtype)], axis=-1)

    def __call__(self, examples):
        tokens = np.stack([np.frombuffer(e["tokens"], dtype=np.uint16) for e in examples]).astype(np.int32)
        noise = np.stack([self.mask() for _ in examples])
        targets = self.with_sentinels(tokens, ~noise)
        shifted = np.concatenate([np.full((len(tokens), 1), self.start, targets.dtype), targets[:, :-1]], axis=-1)
        return {"input_ids": self.with_sentinels(tokens, noise), "labels": targets, "decoder_input_ids": shifted}


def write_windows(a, raw):
    import sentencepiece
    from streaming import MDSWriter
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=a.tokenizer)
    with MDSWriter(out=a.folder, columns={"tokens": "bytes"}) as out, open(a.text, encoding="utf-8") as text:
        rest = []
        for line in text:
            rest += tokenizer.encode(line.rstrip("\n")) + [1]
            while len(rest) >= raw:
                out.write({"tokens": np.asarray(rest[:raw], dtype=np.uint16).tobytes()})
                rest = rest[raw:]
    return tokenizer.get_piece_size()


def speed(a, collate, workers, tokens_per_example):
    from streaming import StreamingDataset
    from torch.utils.data import DataLoader
    data = StreamingDataset(local=a.folder, shuffle=True, batch_size=a.batch, shuffle_seed=1)
    loader = DataLoader(data, batch_size=a.batch, collate_fn=collate, num_workers=workers, drop_last=True, persistent_workers=workers > 0)
    count, seconds = 0, 0.0
    while count < a.batches:  # epochs; the first batches of each, with the start of workers and the shuffle, do not count
        made = iter(loader)
        if sum(1 for _, _ in zip(range(WARM_UP), made)) < WARM_UP:
            raise SystemExit(f"{a.folder}: an epoch has fewer than {WARM_UP} batches of {a.batch}: give more text")
        start = time.perf_counter()
        timed = sum(1 for _ in made)
        seconds += time.perf_counter() - start
        count += timed
        if timed == 0:
            raise SystemExit(f"{a.folder}: an epoch has no more than {WARM_UP} batches of {a.batch}: give more text")
    return count * a.batch * tokens_per_example / seconds


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    for name in ("text", "tokenizer", "folder"):
        ap.add_argument("--" + name, required=True)
    for name, value in {"batch": 128, "input-length": 512, "batches": 200}.items():
        ap.add_argument("--" + name, type=int, default=value)
    a = ap.parse_args()
    raw, inputs, targets = raw_lengths(a.input_length)
    if os.path.exists(os.path.join(a.folder, "index.json")):
        import sentencepiece
        pieces = sentencepiece.SentencePieceProcessor(model_file=a.tokenizer).get_piece_size()
    else:
        pieces = write_windows(a, raw)
    collate = SpanCorruption(raw, pieces)
    by_workers = {workers: speed(a, collate, workers, inputs + targets) for workers in (0, os.cpu_count())}
    print(json.dumps(dict(input_length=inputs, target_length=targets, tokens_per_second=max(by_workers.values()), by_workers=by_workers)))
