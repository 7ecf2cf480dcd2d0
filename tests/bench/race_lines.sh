# Sourced by the races: the machine in a line, and tables and plots of ratios from lines of JSON.

# "AMD EPYC 9354, 2 cores, avx512_bf16"
machine() {
  local flags
  flags=$(grep -m1 -oE 'amx_bf16|avx512_bf16' /proc/cpuinfo | head -n 1 || true)
  echo "$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1), $(env -u OMP_NUM_THREADS nproc) cores${flags:+, $flags}"
}

# race_table FILE: Markdown. Where a side was not measured, the place is empty.
race_table() {
  jq -rs '
    def ratio(a; b): if a and b then a / b * 100 | round / 100 else null end;
    def digits: if . == null then "" else tostring end;
    def best(attention; precision; side): map(select(.attention == attention and .precision == precision))[0].best[side].seconds;
    . as $rows
    | "\(.[0].machine), \(.[0].threads) threads; sizes \(.[0].sizes).",
      "",
      "| attention | precision | step / products | tuned peer / step | transformers / step | peak memory / tuned peer'"'"'s |",
      "|---|---|---|---|---|---|",
      (.[] | .best as $b
        | "| `\(.attention)` | \(.precision) | \(ratio($b.step.seconds; $b.products.seconds) | digits) | \(ratio($b.tuned.seconds; $b.step.seconds) | digits) | \(ratio($b.transformers.seconds; $b.step.seconds) | digits) | \(ratio($b.step.peak_bytes; $b.tuned.peak_bytes) | digits) |"),
      "",
      "| precision | `V` / `R` | `LightConv` / `R` | tuned peer'"'"'s `DynConv` / `R` |",
      "|---|---|---|---|",
      (map(.precision) | unique | reverse[] | . as $p | $rows
        | best("R"; $p; "step") as $r
        | "| \($p) | \(ratio(best("V"; $p; "step"); $r) | digits) | \(ratio(best("LightConv"; $p; "step"); $r) | digits) | \(ratio(best("DynConv"; $p; "tuned"); $r) | digits) |")
  ' "$1"
}

# race_bars FILE: seconds a step over those of the products alone, for the chart writer.
race_bars() {
  jq -s '
    def side(name; words): {label: words, values: map(if .best[name] and .best.products then .best[name].seconds / .best.products.seconds else null end)};
    {title: "A training step over its matrix products alone (\(.[0].machine))", y_label: "times the products", line: 1.12,
     groups: map("\(.attention) \(.precision)"),
     series: [side("step"; "synthesizer"), side("tuned"; "PyTorch, tuned by hand"), side("transformers"; "transformers'"'"' T5")]
       | map(select(.values | any(. != null)))}' "$1"
}
