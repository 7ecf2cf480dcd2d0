// Every golden case against the step that training runs: logits, loss and all gradients, in float64 and float32, and
// loss and the direction of gradients with activations in bfloat16, on 1, 2 and 4 data ranks, with the optimize passes
// on and off. The folder is listed when the test runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <tuple>

#include "core/base/error.h"
#include "tests/golden/golden_case.h"
#include "tests/golden/golden_run.h"

namespace synthesizer::golden {
namespace {

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

// The largest difference, as a multiple of what is allowed: tolerance · scale.
double excess(const std::vector<double>& got, const std::vector<double>& expected, double tolerance, double scale) {
  if (got.size() != expected.size()) return HUGE_VAL;
  double most = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double difference = std::abs(got[i] - expected[i]);
    if (std::isnan(difference)) return HUGE_VAL;
    most = std::max(most, difference);
  }
  return most == 0 ? 0 : most / (tolerance * scale);
}

class Comparison {
 public:
  Comparison(const Case& golden, const Setting& setting) : golden_(golden) {
    tolerance_ = setting.dtype == DType::kFloat64 ? 1e-9 : 1e-5;
    alpha_tolerance_ = setting.dtype == DType::kFloat64 ? 1e-9 : 1e-4;
    for (const auto& [name, array] : golden.tensors)
      if (name.starts_with("grad.")) largest_gradient_ = std::max(largest_gradient_, largest(array.values));
  }

  void check(const Result& result) {
    note("loss", excess({result.loss}, golden_.at("loss").values, tolerance_, std::abs(golden_.at("loss").values[0])));
    const std::vector<double>& logits = golden_.at("logits").values;
    note("logits", excess(result.logits, logits, tolerance_, largest(logits)));
    for (const auto& [name, array] : golden_.tensors)
      if (name.starts_with("grad.")) check_gradient(name.substr(5), array.values, result);
  }
  double worst() const { return worst_; }
  const std::string& worst_name() const { return worst_name_; }

 private:
  void check_gradient(const std::string& name, const std::vector<double>& expected, const Result& result) {
    const auto found = result.gradients.find(name);
    if (name.find(".fix.") != std::string::npos) {
      EXPECT_EQ(found, result.gradients.end()) << name << " is never trained but has a gradient";
      EXPECT_EQ(largest(expected), 0) << name;
      return;
    }
    if (found == result.gradients.end()) {  // the loss does not depend on it: a bias where all that attends is alone
      EXPECT_EQ(largest(expected), 0) << name << " has no gradient";
      return;
    }
    const double scale = expected.size() < 8 ? largest_gradient_ : largest(expected);
    note(name, excess(found->second, expected, name.ends_with("mixture.alpha") ? alpha_tolerance_ : tolerance_, scale));
  }
  void note(const std::string& name, double excess) {
    EXPECT_LE(excess, 1) << name << " differs by " << excess << " times what is allowed";
    if (excess < worst_) return;
    worst_ = excess;
    worst_name_ = name;
  }

  const Case& golden_;
  double tolerance_, alpha_tolerance_, largest_gradient_ = 0;
  double worst_ = 0;
  std::string worst_name_;
};

void check_all_cases(const Setting& setting) {
  for (const Case& golden : load_cases(folder())) {
    SCOPED_TRACE(fmt::format("{}, {}", golden.name, setting.to_string()));
    Comparison comparison(golden, setting);
    try {
      for (const Result& result : run(golden, setting)) comparison.check(result);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
    std::cout << fmt::format("{}: {}, {:.1e} of what is allowed at {}\n", golden.name, setting.to_string(),
                             comparison.worst(), comparison.worst_name());
  }
}

// The cosine of the angle between two gradients; 1 for two zeros.
double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double product = 0, a_squares = 0, b_squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += a[i] * b[i];
    a_squares += a[i] * a[i];
    b_squares += b[i] * b[i];
  }
  return a_squares == 0 && b_squares == 0 ? 1 : product / std::sqrt(a_squares * b_squares);
}

// Activations have 8 bits of precision: the loss is near, and gradients point the same way. What is not so; "":
// nothing.
std::string wrong_in_bfloat16(const Case& golden, const Result& result) {
  std::string wrong;
  const double loss = golden.at("loss").values[0];
  if (!(std::abs(result.loss - loss) <= 0.003 * std::abs(loss))) wrong += fmt::format("loss {}; ", result.loss);
  double least = 1;
  std::string of;
  for (const auto& [name, gradient] : result.gradients) {
    const std::vector<double>& expected = golden.at("grad." + name).values;
    if (gradient.size() != expected.size()) wrong += fmt::format("{} of {}; ", name, gradient.size());
    if (gradient.size() != expected.size() || expected.size() < 8) continue;
    const double found = cosine(gradient, expected);
    if (!(found >= 0.95)) wrong += fmt::format("cosine {:.5f} of {}; ", found, name);
    if (found < least) std::tie(least, of) = std::tie(found, name);
  }
  std::cout << fmt::format("{}: bf16, loss {:.2g} off, least cosine {:.5f} at {}\n", golden.name,
                           std::abs(result.loss / loss - 1), least, of);
  return wrong;
}

std::string wrong_in_bfloat16(const Case& golden, const Setting& setting) {
  std::string wrong;
  for (const Result& result : run(golden, setting)) wrong += wrong_in_bfloat16(golden, result);
  return wrong;
}

// A sum that lies at the edge of a ReLU or of two numbers of bf16 can turn the gradient of a small tensor. Whatever
// moves it leaves the edge, by far less than bf16 tells apart; what is wrong stays wrong.
void check_all_in_bfloat16(Setting setting) {
  for (const Case& golden : load_cases(folder())) {
    SCOPED_TRACE(fmt::format("{}, {}", golden.name, setting.to_string()));
    try {
      setting.nudge = 0;
      const std::string wrong = wrong_in_bfloat16(golden, setting);
      for (setting.nudge = 1; !wrong.empty() && setting.nudge <= 4; ++setting.nudge)
        EXPECT_EQ(wrong_in_bfloat16(golden, setting), "") << "nudge " << setting.nudge << "; without: " << wrong;
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

// load_cases refuses a folder that has none.
TEST(Golden, HasCases) {
  for (const Case& golden : load_cases(folder())) std::cout << golden.name << "\n";
}

TEST(Golden, Float64) { check_all_cases({DType::kFloat64, 1, true}); }
TEST(Golden, Float64WithoutPasses) { check_all_cases({DType::kFloat64, 1, false}); }
TEST(Golden, Float64TwoRanks) { check_all_cases({DType::kFloat64, 2, true}); }
TEST(Golden, Float64FourRanks) { check_all_cases({DType::kFloat64, 4, true}); }
TEST(Golden, Float64FourRanksWithoutPasses) { check_all_cases({DType::kFloat64, 4, false}); }
TEST(Golden, Float32) { check_all_cases({DType::kFloat32, 1, true}); }
TEST(Golden, Float32WithoutPasses) { check_all_cases({DType::kFloat32, 1, false}); }
TEST(Golden, Float32TwoRanks) { check_all_cases({DType::kFloat32, 2, true}); }
TEST(Golden, Float32FourRanks) { check_all_cases({DType::kFloat32, 4, true}); }
TEST(Golden, Float32FourRanksWithoutPasses) { check_all_cases({DType::kFloat32, 4, false}); }

TEST(Golden, BFloat16) { check_all_in_bfloat16({DType::kFloat32, 1, true, true}); }
TEST(Golden, BFloat16WithoutPasses) { check_all_in_bfloat16({DType::kFloat32, 1, false, true}); }
TEST(Golden, BFloat16FourRanks) { check_all_in_bfloat16({DType::kFloat32, 4, true, true}); }

}  // namespace
}  // namespace synthesizer::golden
