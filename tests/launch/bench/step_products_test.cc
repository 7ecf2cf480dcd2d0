// The products of a step alone: those that the step's own kernels count, on its memory.
#include "launch/bench/step_products.h"

#include <gmock/gmock.h>

#include "core/kernels/cpu/cpu_kernels.h"
#include "core/train/train_step.h"
#include "launch/bench/random_batch.h"

namespace synthesizer {
namespace {

StepGraphOptions small(const std::string& attention, DType dtype) {
  StepGraphOptions options;
  ModelConfig& model = options.model;
  model.vocab = 1100;  // a last block of the cross-entropy that is not whole
  model.d_model = model.d_ff = 64;
  model.num_heads = 4;
  model.d_head = 16;
  model.encoder_layers = model.decoder_layers = 1;
  model.encoder.kind = model.decoder.kind = attention;
  model.encoder.max_length = model.decoder.max_length = 32;
  options.dtype = dtype;
  options.shape = {4, 32, 24};
  return options;
}

class Products : public testing::TestWithParam<const char*> {};

TEST_P(Products, AreThoseThatTheStepRuns) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    const StepGraphOptions options = small(GetParam(), dtype);
    KernelCounters step_counters, alone;
    const CpuKernelTable step_kernels(1, &step_counters), kernels(1, &alone);
    TrainStep step(training_graphs(options, nullptr), options.optimizer, step_kernels, {});
    step.state().initialize(1);
    const RandomBatch batch(options.shape, options.model.vocab, 0, 1);
    step.run(batch.batch(), 0, 1e-3);
    StepProducts products(options, kernels, {1});
    products.refill();
    products.run();
    // Of the einsums; the blocks of the cross-entropy, three products of which the counters know nothing here, are
    // x and logits of 4·24 rows by 1,100 words.
    EXPECT_EQ(products.flops() - alone.product_flops, 3 * 2 * int64_t{4 * 24} * 64 * 1100);
    // The step leaves out half of the decoder's shared alignment, which the products have whole.
    const bool shared = options.model.decoder.kind == "R" || options.model.decoder.kind == "FR";
    const int64_t left_out = shared ? 3 * 2 * int64_t{4 * 4 * 16} * (24 * 24 - 24 * 25 / 2) : 0;
    const int64_t of_step = step_counters.product_flops + left_out;
    EXPECT_LE(products.flops(), of_step);
    EXPECT_GE(static_cast<double>(products.flops()), 0.95 * static_cast<double>(of_step));
    EXPECT_GE(products.bytes(), step.program().arena_bytes());
  }
}

INSTANTIATE_TEST_SUITE_P(Attentions, Products, testing::Values("V", "R", "R+V", "D", "FR", "LightConv", "DynConv"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '+');
                           return name;
                         });

}  // namespace
}  // namespace synthesizer
