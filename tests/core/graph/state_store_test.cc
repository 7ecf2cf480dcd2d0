// What is derived of a run's tensors: no part of its state, and never behind what it is made of.
#include "core/graph/state_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/graph/program.h"
#include "core/ops/update.h"
#include "core/tensor/bfloat16.h"
#include "tests/core/graph/no_kernels.h"

namespace synthesizer {
namespace {

using testing::ElementsAre;

constexpr DType kF32 = DType::kFloat32;
const Shape kSize{kModel(33)};

std::vector<std::string> names_of(std::span<const StateTensor> tensors) {
  std::vector<std::string> names;
  for (const StateTensor& tensor : tensors) names.push_back(tensor.name);
  return names;
}

void expect_copy(const StateStore& store, const std::string& name) {
  const auto* from = reinterpret_cast<const float*>(store.at(name).data);
  const auto* copy = reinterpret_cast<const BFloat16*>(store.at(name + ".bf16").data);
  for (int64_t i = 0; i < kSize.elements(); ++i)
    EXPECT_EQ(copy[i].bits, to_bfloat16(from[i]).bits) << name << ", element " << i;
}

TEST(StateStore, WhatIsDerivedIsNoStateAndFollowsIt) {
  Graph graph;
  for (const char* name : {"v", "b"}) derived(parameter(graph, name, kF32, kSize, Initializer::truncated_normal(1)));
  state(graph, "v.adam", kF32, kSize, {});
  gathered(graph, "a", kF32, kSize);
  StateStore store(graph);
  EXPECT_THAT(names_of(store.tensors()), ElementsAre("b", "v", "v.adam"));
  EXPECT_THAT(names_of(store.derived()), ElementsAre("b.bf16", "v.bf16"));
  for (const char* name : {"b", "v", "v.adam", "b.bf16", "v.bf16", "a"}) EXPECT_NE(store.find(name), nullptr) << name;
  EXPECT_EQ(store.at("v.bf16").type, (ValueType{DType::kBFloat16, kSize}));
  EXPECT_EQ(store.find("a.bf16"), nullptr);

  store.initialize(5);
  for (const char* name : {"b", "v"}) expect_copy(store, name);
  EXPECT_NE(reinterpret_cast<const float*>(store.at("v").data)[0], 0.0f);
  store.write([](const StateTensor& tensor, std::byte* data) {
    if (tensor.name == "b") reinterpret_cast<float*>(data)[3] = -1.00390625f;
  });
  for (const char* name : {"b", "v"}) expect_copy(store, name);
}

TEST(StateStore, AnInputHasNoCopy) {
  Graph graph;
  EXPECT_THROW(derived(input(graph, "x", kF32, kSize)), Error);
  EXPECT_THROW(derived(gathered(graph, "sum", kF32, kSize)), Error);
}

// Of a store with a copy a program that writes the parameter alone would leave the copy behind.
TEST(StateStore, AProgramThatForgetsTheCopyIsRefused) {
  const auto build = [](Graph& graph, bool weight, bool copy) {
    const Value w = parameter(graph, "w", kF32, kSize, {}), of = derived(w);
    const Value value = state(graph, "value", kF32, kSize, {}), on = state(graph, "on", kF32, {}, {});
    if (weight) assign(w, value, on);
    if (copy) assign(of, value, on);
  };
  Graph whole;
  build(whole, true, true);
  StateStore store(whole);
  for (const bool weight : {false, true})
    for (const bool copy : {false, true}) {
      Graph graph;
      build(graph, weight, copy);
      std::string message;
      try {
        Program(graph, NoKernels(), {}, store);
      } catch (const Error& error) {
        message = error.what();
      }
      const bool refused = message.find("a program updates one of w and w.bf16") != std::string::npos;
      EXPECT_EQ(refused, weight != copy) << message;
    }
}

}  // namespace
}  // namespace synthesizer
