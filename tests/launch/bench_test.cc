// `synthesizer bench`: what it prints. How fast anything is, no test says.
#include <gmock/gmock.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/launch/program.h"
#include "tests/launch/workplace.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Bench, CommMeasuresEachCollectiveBesideMpis) {
  const TemporaryFolder folder;
  const ProgramResult result =
      run_ranks(3, {"bench", "comm", "--min", "3072", "--max", "12288", "--rounds", "2", "--json"}, folder.path());
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::map<std::string, double> bus_factor;  // nccl-tests, doc/PERFORMANCE.md, at three ranks
  std::map<std::string, std::vector<int64_t>> sizes;
  std::istringstream lines(result.out);
  for (std::string text; std::getline(lines, text);) {
    const nlohmann::json line = nlohmann::json::parse(text);
    EXPECT_EQ(line.at("ranks"), 3);
    const double bytes = line.at("bytes"), algorithm = line.at("algorithm_gb_per_second");
    EXPECT_NEAR(algorithm * line.at("seconds").get<double>() * 1e9, bytes, 1e-6 * bytes);
    EXPECT_GT(line.at("mpi_seconds"), 0);
    bus_factor[line.at("collective")] = line.at("bus_gb_per_second").get<double>() / algorithm;
    sizes[line.at("collective")].push_back(line.at("bytes"));
  }
  const std::map<std::string, double> expected = {{"all_reduce", 4.0 / 3},
                                                  {"reduce_scatter", 2.0 / 3},
                                                  {"all_gather", 2.0 / 3},
                                                  {"all_to_all", 2.0 / 3},
                                                  {"broadcast", 1}};
  ASSERT_EQ(bus_factor.size(), expected.size());
  for (const auto& [collective, factor] : expected) {
    EXPECT_NEAR(bus_factor.at(collective), factor, 1e-9) << collective;
    EXPECT_THAT(sizes.at(collective), testing::ElementsAre(3072, 12288)) << collective;
  }
}

// The same loss and operations of the model, in less memory.
TEST(Bench, StepRecomputes) {
  const TemporaryFolder folder;
  const auto step = [&](const char* choice) {
    const ProgramResult result =
        run_program({"bench",    "step",   "--attention", "FD",      "--layers",    "2",        "--d-model",
                     "32",       "--d-ff", "32",          "--vocab", "256",         "--source", "32",
                     "--target", "16",     "--steps",     "1",       "--recompute", choice,     "--json"},
                    folder.path());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out);
  };
  const nlohmann::json none = step("NONE"), attention = step("ATTENTION"), block = step("BLOCK");
  EXPECT_EQ(attention.at("loss"), none.at("loss"));
  EXPECT_EQ(block.at("loss"), none.at("loss"));
  EXPECT_EQ(block.at("flops_per_step"), none.at("flops_per_step"));
  EXPECT_LT(attention.at("arena_bytes"), none.at("arena_bytes"));
  EXPECT_LT(block.at("arena_bytes"), attention.at("arena_bytes"));
}

// Every product of the step, once: the cross-entropy's three and all einsums.
TEST(Bench, StepsProductsAlone) {
  const TemporaryFolder folder;
  for (const char* attention : {"V", "R", "R+V", "D", "FR", "LightConv", "DynConv"}) {
    std::vector<std::string> arguments = {
        "bench",   "step",   "--attention", attention, "--layers", "2",        "--vocab", "1300",      "--d-model",
        "64",      "--d-ff", "96",          "--heads", "4",        "--d-head", "16",      "--source",  "64",
        "--steps", "1",      "--json",      "--batch", "4",        "--target", "32",      "--threads", "1"};
    const ProgramResult step = run_program(arguments, folder.path());
    arguments.push_back("--products");
    const ProgramResult alone = run_program(arguments, folder.path());
    ASSERT_EQ(step.exit_code, 0) << step.err;
    ASSERT_EQ(alone.exit_code, 0) << alone.err;
    const nlohmann::json products = nlohmann::json::parse(alone.out);
    EXPECT_EQ(products.at("attention"), attention);
    EXPECT_GT(products.at("seconds_per_step"), 0);
    EXPECT_GT(products.at("gflop_per_second"), 0);
    EXPECT_GT(products.at("products"), 4);
    // The step's count has what cross-entropy does besides, and products too small to be any.
    const double all = nlohmann::json::parse(step.out).at("flops_per_step"), own = products.at("flops_per_step");
    EXPECT_LE(own, all) << attention;
    EXPECT_GE(own, 0.95 * all) << attention;
  }
}

TEST(Bench, DataCountsTheTokensOfBatches) {
  const Workplace place;
  const auto line = nlohmann::json::parse(place.must({"bench", "data", "run.txtpb", "--batches", "20", "--json"}));
  EXPECT_EQ(line.at("batch"), 4);
  EXPECT_EQ(line.at("input_length"), 32);
  EXPECT_EQ(line.at("batches"), 20);
  const double examples = line.at("examples_per_second"), seconds = line.at("seconds");
  EXPECT_NEAR(examples * seconds, 4 * 20, 1e-6);
  const int64_t tokens = 32 + line.at("target_length").get<int64_t>();
  EXPECT_NEAR(line.at("tokens_per_second").get<double>(), examples * static_cast<double>(tokens), 1e-3 * examples);
  EXPECT_THAT(place.must({"bench", "data", "run.txtpb", "--batches", "1"}), HasSubstr("tokens_per_second"));
}

TEST(Bench, ProfileOfSteps) {
  const TemporaryFolder folder;
  const ProgramResult result =
      run_ranks(2, {"bench",     "step", "--batch", "2",         "--source", "8", "--target", "8",  "--layers", "1",
                    "--d-model", "16",   "--heads", "2",         "--d-head", "8", "--d-ff",   "32", "--vocab",  "64",
                    "--steps",   "2",    "--json",  "--profile", "profile"},
                folder.path());
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_GT(nlohmann::json::parse(result.out).at("seconds_per_step"), 0);
  EXPECT_THAT(result.err, AllOf(HasSubstr("linear_cross_entropy"), HasSubstr("rank 0 (data 0): 2 steps from 3, ")));
  const auto files = tree(folder.path() / "profile");
  ASSERT_EQ(files.size(), 2u);
  EXPECT_THAT(files.at("by_op.csv"), HasSubstr("\n1,compute,einsum,"));
  EXPECT_FALSE(nlohmann::json::parse(files.at("trace.json")).empty());
}

// Kernels and the link, into a device file that plan reads.
TEST(Bench, KernelsAndCommWriteADeviceFile) {
  const TemporaryFolder folder;
  const ProgramResult kernels = run_ranks(
      2, {"bench", "kernels", "--rounds", "1", "--threads", "1", "--output", "here.txtpb", "--json"}, folder.path());
  ASSERT_EQ(kernels.exit_code, 0) << kernels.err;
  const nlohmann::json line = nlohmann::json::parse(kernels.out);
  EXPECT_EQ(line.at("threads"), 1);
  EXPECT_GT(line.at("product_peak"), 1e8);
  std::set<std::string> ops;
  for (const auto& op : line.at("ops")) {
    ops.insert(op.at("op"));
    EXPECT_GT(op.at("seconds"), 0) << op;
  }
  for (const char* op : {"einsum", "softmax", "rms_norm", "dropout", "embedding", "adamw", "linear_cross_entropy"})
    EXPECT_TRUE(ops.contains(op)) << op;
  const ProgramResult comm =
      run_ranks(2, {"bench", "comm", "--max", "262144", "--rounds", "2", "--output", "here.txtpb"}, folder.path());
  ASSERT_EQ(comm.exit_code, 0) << comm.err;
  const std::string text = tree(folder.path()).at("here.txtpb");
  EXPECT_THAT(text, AllOf(HasSubstr("the link inside a host by `synthesizer bench comm` among 2 ranks"),
                          HasSubstr("ranks_per_host: 2"), HasSubstr("steps: DIRECT")));
  folder.write("run.txtpb", "model { vocab_size: 1024 d_model: 64 num_heads: 2 } data { batch: 4 input_length: 32 }");
  const ProgramResult plan =
      run_program({"plan", "run.txtpb", "--mesh", "data=2", "--device", "here.txtpb", "--json"}, folder.path());
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_GT(nlohmann::json::parse(plan.out).at("seconds").at("step"), 1e-5);
}

TEST(Bench, WrongLines) {
  const TemporaryFolder folder;
  const ProgramResult alone = run_program({"bench", "comm"}, folder.path());
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_THAT(alone.err, HasSubstr("[bench comm] got one rank, expected several: mpirun -n 2 synthesizer bench comm"));
  const ProgramResult sizes = run_ranks(2, {"bench", "comm", "--min", "8192", "--max", "4096"}, folder.path());
  EXPECT_EQ(sizes.exit_code, 2);
  EXPECT_THAT(sizes.err, HasSubstr("[bench comm] --min 8192 with --max 4096: expected at most as much"));
  const ProgramResult rounds = run_ranks(2, {"bench", "comm", "--rounds", "0"}, folder.path());
  EXPECT_EQ(rounds.exit_code, 2);
  EXPECT_THAT(rounds.err, HasSubstr("--rounds: got 0, expected at least 1"));
  const ProgramResult nowhere = run_ranks(2, {"bench", "comm", "--output", "nowhere.txtpb"}, folder.path());
  EXPECT_EQ(nowhere.exit_code, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("no such device file. Write it first: synthesizer bench kernels --output"));
  const ProgramResult device = run_program({"bench", "kernels", "--device", "gpu"}, folder.path());
  EXPECT_EQ(device.exit_code, 2);
  EXPECT_THAT(device.err, HasSubstr("[bench kernels] --device: got gpu, expected cpu or cuda"));
  const ProgramResult tf32 = run_program({"bench", "kernels", "--tf32"}, folder.path());
  EXPECT_EQ(tf32.exit_code, 2);
  EXPECT_THAT(tf32.err, HasSubstr("[bench kernels] --tf32 is for --device cuda"));
  const ProgramResult heads = run_ranks(2, {"bench", "step", "--tensor", "2", "--heads", "3"}, folder.path());
  EXPECT_EQ(heads.exit_code, 2);
  EXPECT_THAT(heads.err, HasSubstr("heads"));
  const ProgramResult pieces = run_program({"bench", "step", "--products", "--microbatches", "2"}, folder.path());
  EXPECT_EQ(pieces.exit_code, 2);
  EXPECT_THAT(pieces.err, HasSubstr("[bench step] --products are those of a step in one piece"));
  const ProgramResult both = run_program({"bench", "step", "--products", "--profile", "p"}, folder.path());
  EXPECT_EQ(both.exit_code, 2);
  EXPECT_THAT(both.err, HasSubstr("[bench step] --products and --profile exclude each other"));
  const ProgramResult long_profile = run_program({"bench", "step", "--steps", "101", "--profile", "p"}, folder.path());
  EXPECT_EQ(long_profile.exit_code, 2);
  EXPECT_THAT(long_profile.err, HasSubstr("[bench step] --profile: got --steps 101, expected at most 100"));
  const ProgramResult ranks = run_ranks(2, {"bench", "step", "--products"}, folder.path());
  EXPECT_EQ(ranks.exit_code, 2);
  EXPECT_THAT(ranks.err, HasSubstr("[bench step] --products: got 2 ranks, expected one"));
  const ProgramResult wire = run_ranks(2, {"bench", "step", "--wire", "bf61"}, folder.path());
  EXPECT_EQ(wire.exit_code, 2);
  EXPECT_THAT(wire.err, HasSubstr("[bench step] --wire: got bf61, expected full or bf16"));
  const ProgramResult ordered = run_ranks(2, {"bench", "step", "--wire", "bf16", "--leaves", "4"}, folder.path());
  EXPECT_EQ(ordered.exit_code, 2);
  EXPECT_THAT(ordered.err, HasSubstr("[bench step] --wire: got bf16 with --leaves, expected full"));
  const ProgramResult unsent = run_program({"bench", "step", "--wire", "bf16"}, folder.path());
  EXPECT_EQ(unsent.exit_code, 2);
  EXPECT_THAT(unsent.err, HasSubstr("[bench step] --wire: got bf16 with one data rank, expected full, or several"));
  const ProgramResult recompute = run_program({"bench", "step", "--recompute", "ALL"}, folder.path());
  EXPECT_EQ(recompute.exit_code, 2);
  EXPECT_THAT(recompute.err, HasSubstr("[bench step] --recompute: got ALL, expected NONE, ATTENTION or BLOCK"));
}

}  // namespace
}  // namespace synthesizer
