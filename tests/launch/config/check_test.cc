// Every complaint about a configuration as a whole, one row each; and that each numeric field has a range.
#include "launch/config/check.h"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "launch/config/fields.h"
#include "launch/config/load.h"
#include "launch/config/ranges.h"
#include "launch/gpu/gpu.h"
#include "tests/launch/messages.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using testing::HasSubstr;

// A configuration that is right for 1, 2 and 4 ranks, its shards in `folder`.
config::Run right(const TemporaryFolder& folder, const std::vector<std::string>& assignments) {
  folder.write("shards/manifest.json", "{}");
  std::vector<std::string> all = {"data.shards=" + (folder.path() / "shards").string()};
  all.insert(all.end(), assignments.begin(), assignments.end());
  return load_run(folder.write("a.txtpb", ""), all);
}

struct CheckCase {
  std::vector<std::string> assignments;
  std::string message;  // the whole of it, or its beginning where it ends in "…"
  int world = 1;
};

const CheckCase kCases[] = {
    // names
    {{"model.encoder.attention=Q"},
     "model.encoder.attention: unknown attention function 'Q' in 'Q'; known: V, R, Fix, FR, D, FD, Conv, Bottleneck, "
     "ConvBottleneck, GLU, LightConv, DynConv, Linformer"},
    {{"model.encoder.attention=R+Fx"},
     "model.encoder.attention: unknown attention function 'Fx' in 'R+Fx'; did you mean Fix, FR, FD?"},
    {{"model.decoder.attention=R++V"}, "model.decoder.attention: got 'R++V', expected names joined by '+', as in R+V"},
    {{"model.decoder.attention="}, "model.decoder.attention: got '', expected names joined by '+', as in R+V"},
    {{"model.decoder.attention=R+V+R"},
     "model.decoder.attention: got 'R+V+R': R appears twice, expected each part once"},
    {{"model.encoder.attention=DynConv+R"},
     "model.encoder.attention: got 'DynConv+R': DynConv stands alone, expected no other part"},
    {{"model.encoder.attention=GLU+Linformer"},
     "model.encoder.attention: got 'GLU+Linformer': Linformer stands alone, expected no other part"},
    {{"parallel.layout=batch"},
     "parallel.layout: got entry 'batch', expected dimension:axis, as in \"batch:data heads:tensor\""},
    {{"parallel.layout=bach:data"},
     "parallel.layout: no dimension 'bach' can be split, in entry 'bach:data'; did you mean batch?"},
    {{"parallel.layout=batch:date"}, "parallel.layout: no mesh axis 'date', in entry 'batch:date'; did you mean data?"},
    {{"parallel.layout=batch:data batch:tensor"},
     "parallel.layout: dimension 'batch' is there twice, as 'batch:data' and 'batch:tensor'"},
    {{"freeze=embeding"}, "freeze: unknown parameter 'embeding'; did you mean embedding?"},
    // names before values
    {{"steps=0", "model.encoder.attention=Q"}, "model.encoder.attention: unknown attention…"},
    // ranges
    {{"steps=0"}, "steps: got 0, expected at least 1 and at most 1000000000000000"},
    {{"dropout=1"}, "dropout: got 1, expected at least 0 and below 1"},
    {{"dropout=nan"}, "dropout: got nan, expected at least 0 and below 1"},
    {{"clip_norm=-1"}, "clip_norm: got -1, expected at least 0 and finite"},
    {{"clip_norm=inf"}, "clip_norm: got inf, expected at least 0 and finite"},
    {{"optimizer.epsilon=0"}, "optimizer.epsilon: got 0, expected above 0 and at most 1"},
    {{"data.batch=-4"}, "data.batch: got -4, expected at least 1 and at most 16777216"},
    // what this version has
    {{"parallel.layout=batch:data heads:data"},
     "parallel.layout: batch and heads are both split over data, and activations have both. Split heads over another "
     "axis, or leave it out",
     2},
    {{"parallel.mesh.tensor=7", "model.num_heads=7", "model.d_head=8", "model.d_ff=7"},
     "parallel.mesh.tensor: got 7, expected a divisor of 960, as the layout splits vocab over it. Leave vocab out of "
     "parallel.layout, or take 1 ranks",
     7},
    {{"parallel.mesh.tensor=4", "model.vocab_size=32002"},
     "model.vocab_size: got 32002, expected a multiple of parallel.mesh.tensor 4, over which the layout splits vocab. "
     "The nearest are 32000 and 32004",
     4},
    {{"parallel.mesh.tensor=4", "model.encoder.attention=LightConv", "model.encoder.conv_heads=2"},
     "model.encoder.conv_heads: got 2, expected a multiple of parallel.mesh.tensor 4, over which the layout splits "
     "heads. "
     "The least is 4",
     4},
    {{"parallel.mesh.tensor=3", "parallel.mesh.data=2"},
     "parallel.mesh: data 2 x tensor 3 is 6 rank(s), got 4. Start that many (mpirun -n 6), or change the mesh",
     4},
    {{"parallel.leaves=8"}, "parallel.leaves: got 8 with parallel.reduction FAST, expected 4, or reduction ORDERED"},
    {{"parallel.reduction=ORDERED", "parallel.leaves=6"},
     "parallel.leaves: got 6, expected a power of two. The nearest are 4 and 8"},
    {{"parallel.reduction=ORDERED", "data.batch=12"},
     "parallel.reduction: got ORDERED with parallel.mesh.data 3, expected a power of two. The nearest are 2 and 4",
     3},
    {{"parallel.reduction=ORDERED", "data.batch=16", "parallel.microbatches=4"},
     "parallel.leaves: got 4, expected a multiple of parallel.mesh.data 2 x parallel.microbatches 4. The least is 8",
     2},
    {{"parallel.reduction=ORDERED", "data.batch=6"},
     "data.batch: got 6, expected a multiple of parallel.leaves 4. The nearest are 4 and 8"},
    {{"parallel.reduction=ORDERED", "parallel.wire=BF16"},
     "parallel.wire: got BF16 with parallel.reduction ORDERED, expected FULL, or reduction FAST"},
    {{"precision=FP64", "parallel.wire=BF16"},
     "parallel.wire: got BF16 with precision FP64, expected FULL, or precision FP32 or BF16"},
    {{"parallel.microbatches=3", "data.batch=32"},
     "data.batch: got 32, expected a multiple of parallel.mesh.data 2 x parallel.microbatches 3. The nearest are 30 "
     "and "
     "36",
     2},
    {{"parallel.microbatches=3", "data.batch=32", "parallel.layout=heads:tensor"},
     "data.batch: got 32, expected a multiple of parallel.microbatches 3. The nearest are 30 and 33"},
    {{"parallel.zero=3"}, "parallel.zero: got 3, expected at least 0 and at most 2"},
    // fields against each other
    {{"model.num_heads=7"},
     "model.d_head: 0 stands for d_model / num_heads, and 512 is no multiple of 7. Give d_head, or another num_heads"},
    {{"model.encoder.attention=R+V+D", "model.encoder.mixture=SIGMOID"},
     "model.encoder: got 'R+V+D' with mixture sigmoid, expected two parts"},
    {{"model.decoder.attention=FD", "model.decoder.factor_a=7"},
     "[attention FD] factor_a: got 7, expected a divisor of max_length 512"},
    {{"model.decoder.attention=Linformer"},
     "model.decoder: got 'Linformer': it mixes positions, so that it can only be in an encoder"},
    {{"model.encoder.attention=LightConv", "model.encoder.conv_heads=7"},
     "model.encoder: conv_heads: got 7, expected a divisor of d_model 512"},
    {{"model.decoder.attention=DynConv", "model.num_heads=7", "model.d_head=64"},
     "model.decoder: conv_heads: got 7, expected a divisor of d_model 512, where 0 stands for num_heads"},
    {{"model.num_buckets=31"}, "model.num_buckets: got 31, expected an even number"},
    {{"model.max_distance=16"}, "model.max_distance: got 16, expected more than half of model.num_buckets, 16"},
    {{"model.num_classes=4"}, "model.num_classes: got 4, expected 0: only structure ENCODER_CLASSIFIER has classes"},
    {{"model.structure=ENCODER_CLASSIFIER"},
     "model.num_classes: got 0, expected at least 2 for structure ENCODER_CLASSIFIER"},
    {{"model.structure=ENCODER_CLASSIFIER", "model.num_classes=4", "model.tie_output=false"},
     "model.tie_output: got false, expected true: structure ENCODER_CLASSIFIER has no output over the vocabulary"},
    {{"model.structure=ENCODER_CLASSIFIER", "model.num_classes=4", "data.target_length=8"},
     "data.target_length: got 8, expected 0: structure ENCODER_CLASSIFIER has one target an example"},
    {{"model.structure=ENCODER_CLASSIFIER", "model.num_classes=4", "data.objective=CAUSAL"},
     "data.input_length: got 0, expected at least 1"},
    {{"model.structure=ENCODER_CLASSIFIER", "model.num_classes=4"},
     "data.objective: got SPAN_DENOISING with model.structure ENCODER_CLASSIFIER, expected labelled examples, which no "
     "objective of this version has. `inspect graph` takes such a configuration"},
    {{"model.encoder.attention=D", "model.encoder.share_across_heads=true", "model.encoder.dense_width=MODEL"},
     "model.encoder: share_across_heads…"},
    {{"model.decoder.share_query=true"},
     "model.decoder: share_query: got true with 'V', expected D or FD in a mixture with V"},
    {{"model.structure=DECODER"},
     "data.objective: got SPAN_DENOISING with model.structure DECODER, expected CAUSAL, or structure ENCODER_DECODER"},
    {{"data.objective=CAUSAL"},
     "data.objective: got CAUSAL with model.structure ENCODER_DECODER, expected SPAN_DENOISING, or structure DECODER"},
    {{"data.packing=DOCUMENTS"},
     "data.packing: got DOCUMENTS with data.objective SPAN_DENOISING, expected STREAM, or objective CAUSAL"},
    {{"model.structure=DECODER", "data.objective=CAUSAL", "model.packed_positions=ROW"},
     "model.packed_positions: got ROW with data.packing STREAM, expected DOCUMENT, or packing DOCUMENTS"},
    {{"model.structure=DECODER", "data.objective=CAUSAL", "data.input_length=8"},
     "data.input_length: got 8, expected 0: objective CAUSAL has target_length only"},
    {{"data.input_length=2"}, "data.input_length: got 2, expected at least 3"},
    {{"data.target_length=113"},
     "data.target_length: got 113, expected at least the 114 that input_length 512 gives, or 0 for that many"},
    {{"data.input_length=513"}, "data.input_length: got 513, expected at most model.max_length 512"},
    {{"data.target_length=600"}, "data.target_length: got 600, expected at most model.max_length 512"},
    {{"schedule.kind=LINEAR", "schedule.end=0.1"},
     "schedule.end: got 0.1, expected at most schedule.learning_rate 0.001"},
    {{"schedule.kind=COSINE", "schedule.warmup=1000"},
     "schedule.warmup: got 1000, expected less than the 1000 steps that COSINE takes"},
    {{"schedule.kind=INVERSE_SQRT"}, "schedule.warmup: got 0, expected at least 1 for INVERSE_SQRT"},
    // the mesh
    {{"parallel.mesh.data=4"},
     "parallel.mesh: data 4 x tensor 1 is 4 rank(s), got 2. Start that many (mpirun -n 4), or change the mesh",
     2},
    {{"parallel.mesh.data=1"},
     "parallel.mesh: data 1 x tensor 1 is 1 rank(s), got 2. Start that many (mpirun -n 1), or change the mesh",
     2},
    {{"data.batch=7"}, "data.batch: got 7, expected a multiple of parallel.mesh.data 2. The nearest are 6 and 8", 2},
    {{"model.num_heads=6", "model.d_head=8", "parallel.layout=heads:data"},
     "model.num_heads: got 6, expected a multiple of parallel.mesh.data 4, over which the layout splits heads. The "
     "nearest are 4 and 8",
     4},
    {{"model.d_ff=2", "parallel.layout=ff:data"},
     "model.d_ff: got 2, expected a multiple of parallel.mesh.data 4, over which the layout splits ff. The least is "
     "4",
     4},
    // values before files
    {{"data.shards=/nowhere", "dropout=2"}, "dropout: got 2…"},
    // files
    {{"data.shards="}, "data.shards: not given, expected a folder written by `synthesizer data build`"},
    {{"data.shards=/nowhere/at/all"},
     "data.shards: no such folder: /nowhere/at/all. `synthesizer data build` writes one"},
    {{"data.shards=/dev/null"}, "data.shards: not a folder: /dev/null. `synthesizer data build` writes one"},
    {{"data.validation=/dev"},
     "data.validation: /dev has no manifest.json: no shards, or their build is not finished. Run `synthesizer data "
     "build` again"},
};

class Check : public testing::TestWithParam<CheckCase> {};

TEST_P(Check, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const CheckCase& row = GetParam();
  const config::Run run = right(folder, row.assignments);
  const std::string message = usage_message([&] { check_run(run, row.world); });
  if (row.message.ends_with("…"))
    EXPECT_THAT(message, testing::StartsWith(row.message.substr(0, row.message.size() - std::string("…").size())));
  else
    EXPECT_EQ(message, row.message);
}

// "3_model_d_ff_2": what ctest can show.
std::string case_name(const testing::TestParamInfo<CheckCase>& row) {
  std::string name = fmt::format("{}_{}", row.index, row.param.assignments[0]);
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Rows, Check, testing::ValuesIn(kCases), case_name);

TEST(CheckRun, AcceptsWhatIsRight) {
  const std::vector<std::string> cases[] = {
      {},
      {"model.encoder.attention=R + V", "model.decoder.attention=D+R+V"},
      {"model.encoder.mixture=SIGMOID", "model.encoder.attention=FR+FD"},
      {"model.structure=DECODER", "data.objective=CAUSAL", "data.target_length=512"},
      {"schedule.kind=CONSTANT", "optimizer.kind=ADAMW"},
      {"model.encoder.attention=Linformer", "model.decoder.attention=LightConv", "model.decoder.conv_heads=512"},
      {"model.encoder.attention=Bottleneck+ConvBottleneck", "model.encoder.bottleneck=3",
       "model.encoder.filter_width=4"},
      {"model.encoder.factor_a=64", "parallel.layout=batch:data"},
      {"data.input_length=512", "precision=FP64", "on_nonfinite=SKIP", "freeze=embedding,encoder.layers.0"},
      {"model.ffn=GATED_GELU", "model.tie_output=false", "freeze=embedding,output"},
      {"parallel.mesh.data=1", "parallel.mesh.tensor=WORLD"},
      {"model.universal=true", "model.encoder.attention=D+V", "model.encoder.share_query=true"},
  };
  for (const int world : {1, 2, 4})
    for (auto assignments : cases) {
      const TemporaryFolder folder;
      for (std::string& text : assignments)
        if (const size_t at = text.find("WORLD"); at != std::string::npos) text.replace(at, 5, std::to_string(world));
      EXPECT_EQ(usage_message([&] { check_run(right(folder, assignments), world); }), "")
          << testing::PrintToString(assignments);
    }
}

TEST(CheckRun, TakesCudaWhereItIsBuiltIn) {
  const TemporaryFolder folder;
  const config::Run run = right(folder, {"device=CUDA"});
  if (built_with_cuda())
    check_run(run, 1);
  else
    EXPECT_EQ(usage_message([&] { check_run(run, 1); }),
              "device: got CUDA, which is not in this version, expected CPU");
}

TEST(CheckRun, MeshTakesAllRanksByDefault) {
  const TemporaryFolder folder;
  EXPECT_EQ(data_ranks(right(folder, {}), 4), 4);
  EXPECT_EQ(data_ranks(right(folder, {"parallel.mesh.data=2"}), 4), 2);
}

// Every configuration that comes with the project is right, but for the shards that each user builds.
TEST(CheckRun, AcceptsTheConfigurationsOfTheProject) {
  int files = 0;
  for (const char* folder : {"configs/models", "configs/runs"})
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      SCOPED_TRACE(entry.path().string());
      const config::Run run = load_run(entry.path(), {});
      EXPECT_EQ(usage_message([&] {
                  check_names(run);
                  check_values(run, 4);
                }),
                "");
      ++files;
    }
  EXPECT_GE(files, 50);
}

// Each field is set past either end of its row; so each row is of a field, and each numeric field has a row
// (check_ranges checks).
TEST(Ranges, EveryRowRefusesBothSides) {
  std::set<std::string_view> paths;
  for (const Range& range : field_ranges()) {
    EXPECT_TRUE(paths.insert(range.path).second) << range.path;
    if (range.path == "seed") continue;  // every value of its type
    const TemporaryFolder folder;
    std::vector<std::string> outside = {fmt::format("{}={}", range.path, range.low_open ? range.low : range.low - 1)};
    if (std::isfinite(range.high))
      outside.push_back(fmt::format("{}={:.0f}", range.path, range.high_open ? range.high : range.high + 1));
    for (const std::string& assignment : outside)
      EXPECT_THAT(usage_message([&] { check_ranges(right(folder, {assignment})); }),
                  HasSubstr(fmt::format("{}: got ", range.path)))
          << assignment;
  }
}

}  // namespace
}  // namespace synthesizer
