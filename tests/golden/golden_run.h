// Runs one step of a golden case through the graph, the passes, the partition and the Program that training uses,
// without the update, on data ranks that are threads of this process.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/golden/golden_case.h"

namespace synthesizer::golden {

struct Setting {
  DType dtype = DType::kFloat64;
  int ranks = 1;
  bool passes = true;
  bool bfloat16 = false;  // activations in bf16, beside float32
  uint32_t nudge = 0;     // not 0: each parameter is moved by up to 2^-13 of itself, by each number otherwise

  std::string to_string() const;
};

struct Result {
  double loss = 0;
  std::vector<double> logits;                            // of the case's own rows
  std::map<std::string, std::vector<double>> gradients;  // by parameter; Fix has none
};

// One result a rank: each has everything whole.
std::vector<Result> run(const Case& golden, const Setting& setting);

}  // namespace synthesizer::golden
