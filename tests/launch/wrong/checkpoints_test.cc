// What is wrong with checkpoints and with a run's folder, typed at `train` (going on, and --init-from) and `eval`.
#include <gmock/gmock.h>

#include <cstring>
#include <limits>

#include "core/checkpoint/state.h"
#include "tests/launch/wrong/edited_checkpoint.h"

namespace synthesizer {
namespace {

const std::string kCheckpoint = "runs/run/checkpoints/step_00000004";
const std::string kModel = kCheckpoint + "/model.safetensors";
const std::string kOptimizer = kCheckpoint + "/optimizer.safetensors";
const std::string kState = kCheckpoint + "/state.json";

std::string init_from(const std::string& checkpoint, const std::string& more = "") {
  return "train run.txtpb --run new --init-from " + checkpoint + " " + more;
}
std::string eval_of(const std::string& checkpoint) { return "eval run.txtpb --checkpoint " + checkpoint; }

Preparation edit(const std::function<void(EditedTensors&)>& change) { return edit_model(kCheckpoint, change); }

TEST(WrongCheckpoints, Files) {
  const Workplace place;
  place.must({"train", "run.txtpb"});
  const Wrong table[] = {
      {init_from("nowhere"), {"nowhere: no such checkpoint, expected a folder such as RUN/checkpoints/step_00001000"}},
      {init_from("runs/run"), {"runs/run: no state.json in it", "did you mean " + kCheckpoint + "?"}},
      {init_from("runs/run/checkpoints"), {"did you mean " + kCheckpoint + "?"}},
      {init_from(kModel), {"no such checkpoint; did you mean " + kCheckpoint + "?"}},
      {init_from("''"), {"--init-from: got an empty text"}},
      {eval_of("nowhere"), {"nowhere: no such checkpoint"}},
      {eval_of(kCheckpoint), {"state.json", "torn or altered"}, {cut(kState, 100)}},
      {eval_of(kCheckpoint), {"state.json", "torn or altered"}, {cut(kState, 0)}},
      {eval_of(kCheckpoint),
       {"state.json: altered: its checksum does not match"},
       {replace(kState, "\"step\": 4", "\"step\": 5")}},
      {eval_of(kCheckpoint),
       {"state.json", "checkpoint format 2, this program reads 1"},
       {replace(kState, "\"format\": 1", "\"format\": 2")}},
      {eval_of(kCheckpoint), {"no state.json in it"}, {remove(kState)}},
      {eval_of(kCheckpoint), {"model.safetensors: no such file"}, {remove(kModel)}},
      {eval_of(kCheckpoint), {"optimizer.safetensors: no such file"}, {remove(kOptimizer)}},
      {eval_of(kCheckpoint), {"model.safetensors", "torn"}, {cut(kModel, -4)}},
      {eval_of(kCheckpoint), {"model.safetensors", "too few for a safetensors file"}, {cut(kModel, 4)}},
      {eval_of(kCheckpoint), {"model.safetensors: tensor", "is altered: checksum"}, {flip(kModel, -40)}},
      {eval_of(kCheckpoint), {"model.safetensors", "header"}, {flip(kModel, 30)}},
      {eval_of(kCheckpoint), {"model.safetensors"}, {copy(kOptimizer, kModel)}},
      {init_from(kCheckpoint), {"optimizer.safetensors: tensor", "is altered"}, {flip(kOptimizer, -40)}},
      {init_from(kCheckpoint), {"model.safetensors: Permission denied"}, {permit(kModel, 0)}, "", true},
  };
  expect_refused(place.path(), table);
}

TEST(WrongCheckpoints, OfAnotherModel) {
  const Workplace place;
  place.must({"train", "run.txtpb"});
  const auto narrow = [](EditedTensors& tensors) {
    EditedTensor& tensor = tensors.at("embedding.weight");
    tensor.shape[0] -= 1;
    tensor.bytes.resize(tensor.bytes.size() - static_cast<size_t>(4 * tensor.shape[1]));
  };
  const auto integers = [](EditedTensors& tensors) { tensors.at("embedding.weight").type = StoredType::kI32; };
  const auto lose = [](EditedTensors& tensors) { tensors.erase("embedding.weight"); };
  const auto gain = [](EditedTensors& tensors) { tensors["strange"] = {StoredType::kF32, {2}, std::string(8, '\0')}; };
  const std::string not_these = "model.safetensors: not the tensors of this configuration";
  const Wrong table[] = {
      {init_from(kCheckpoint, "--set model.d_ff=64"), {not_these, "has shape [16, 32], expected [16, 64]"}},
      {init_from(kCheckpoint, "--set model.encoder.attention=V"),
       {not_these, "encoder.layers.0.self_attention.r.logits is not of this model"}},
      {init_from(kCheckpoint, "--set model.encoder.attention=D"),
       {not_these, "encoder.layers.0.self_attention.mixture.alpha is not of this model", "is missing"}},
      {init_from(kCheckpoint, "--set model.encoder.layers=2"), {not_these, "encoder.layers.1", "is missing"}},
      {init_from(kCheckpoint, "--set model.relative_bias=false"), {not_these, "is not of this model"}},
      {eval_of(kCheckpoint) + " --set model.d_ff=64", {not_these, "expected [16, 64]"}},
      {init_from(kCheckpoint), {not_these, "embedding.weight has shape [511, 16], expected [512, 16]"}, {edit(narrow)}},
      {init_from(kCheckpoint), {not_these, "embedding.weight is I32, expected f32"}, {edit(integers)}},
      {init_from(kCheckpoint), {not_these, "embedding.weight is missing"}, {edit(lose)}},
      {init_from(kCheckpoint), {not_these, "strange is not of this model"}, {edit(gain)}},
      {"generate --checkpoint " + kCheckpoint, {not_these, "embedding.weight is missing"}, {edit(lose)}, "a\n"},
      {eval_of(kCheckpoint),
       {"model.safetensors: tensor", "unknown dtype F16"},
       {replace(kModel, "\"F32\"", "\"F16\"")}},
  };
  expect_refused(place.path(), table);
}

TEST(WrongCheckpoints, RunsThatGoOn) {
  const Workplace place;
  place.must({"train", "run.txtpb"});
  const std::string more = "train run.txtpb --steps 6";
  const Wrong table[] = {
      {"train run.txtpb --set seed=2", {"seed: got 2, but the run's checkpoint was written with 1", "--run"}},
      {"train run.txtpb --set model.d_ff=64", {"model.d_ff: got 64, but the run's checkpoint was written with 32"}},
      {"train run.txtpb --set schedule.learning_rate=1", {"schedule.learning_rate: got 1"}},
      {"train run.txtpb --set on_nonfinite=SKIP", {"on_nonfinite: got SKIP"}},
      {"train run.txtpb --set precision=FP64", {"precision: got FP64"}},
      {more, {"data.shards: got", "the run was begun with"}, {copy("other", "shards")}},
      {more, {"metrics.jsonl: not a file"}, {remove("runs/run/metrics.jsonl"), make_folder("runs/run/metrics.jsonl")}},
      {more,
       {"metrics.jsonl: line 1 is not a JSON object with a step"},
       {replace("runs/run/metrics.jsonl", "{\"step\"", "{\"stop\"")}},
      {more, {"metrics.jsonl", "Permission denied"}, {permit("runs/run/metrics.jsonl", 0444)}, "", true},
      {more, {"config.txtpb"}, {write("runs/run/config.txtpb", "what: 3\n")}},
      {more, {"runs/run", "Permission denied"}, {permit("runs/run", 0555)}, "", true},
      {"eval run.txtpb --set data.shards=none", {"data.shards: no such folder: none"}},
  };
  place.must({"data", "build", "--input", "text.json.gz", "--tokenizer", "spiece.model", "--shards", "2", "--output",
              "other"});
  expect_refused(place.path(), table);
}

// The file is one that a script or a person made: it is read, and the first step finds what it holds.
TEST(WrongCheckpoints, NaNInAParameterIsNamedAtTheFirstStep) {
  const Workplace place;
  place.must({"train", "run.txtpb"});
  edit([](EditedTensors& tensors) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(tensors.at("embedding.weight").bytes.data() + 20, &nan, sizeof nan);
  })(place.path());
  const ProgramResult result = place.run(words_of(init_from(kCheckpoint)));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(error_line(result), testing::HasSubstr("[train] step 1: embedding.weight (parameter, "));
  EXPECT_THAT(error_line(result), testing::HasSubstr("has NaN at element 5"));
  EXPECT_TRUE(std::filesystem::is_empty(place.path() / "new/checkpoints"));
}

}  // namespace
}  // namespace synthesizer
