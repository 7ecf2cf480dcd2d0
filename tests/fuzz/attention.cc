// Attention strings, as `encoder { attention: … }` and --set give them.
#include "core/attention/table.h"
#include "tests/fuzz/fuzz.h"

using namespace synthesizer;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  AttentionConfig config;
  config.kind = fuzz::text_of(data, size);
  const bool right = fuzz::accepts([&] { check_attention(config); });
  if (!right) return 0;
  const AttentionSizes sizes{.d_model = 16, .num_heads = 2, .d_head = 8};
  if (standalone_attention(config.kind, config, sizes) != nullptr) return 0;
  for (const std::string& part : attention_parts(config.kind))
    fuzz::hold(synthesizing_function(part, config, sizes) != nullptr, "a part that is accepted has a function");
  return 0;
}
