// What is wrong with configurations and with the folders that they name, typed at `train`.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>

#include "data/manifest.h"
#include "launch/config/ranges.h"
#include "tests/launch/wrong/forged_shard.h"

namespace synthesizer {
namespace {

std::string train(const std::string& more) { return "train run.txtpb " + more; }
std::string set(const std::string& assignment) { return "train run.txtpb --set " + assignment; }

TEST(WrongTrain, Configurations) {
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  const Workplace place;
  const auto edit = [](const std::string& text, const std::string& by) { return replace("run.txtpb", text, by); };
  const Wrong table[] = {
      {"train rn.txtpb", {"rn.txtpb: no such configuration file; did you mean run.txtpb?"}},
      {"train shards", {"shards: a folder, expected a configuration file"}},
      {"train run.txtpb/x.txtpb", {"run.txtpb/x.txtpb: no such configuration file"}},
      {"train " + std::string(300, 'a'), {"File name too long"}},
      {"train loop.txtpb", {"loop.txtpb", "Too many levels of symbolic links"}, {link("loop.txtpb", "loop.txtpb")}},
      {"train run.txtpb", {"run.txtpb", "Permission denied"}, {permit("run.txtpb", 0)}, "", true},
      {"train ''", {"config: got an empty text"}},
      {"train run.txtpb extra.txtpb", {"not expected: extra.txtpb"}},
      {"train spiece.model", {"spiece.model:", "not text: expected a configuration"}},
      {"train run.txtpb",
       {"run.txtpb:3:3: unknown field 'max_lenght' in model; did you mean max_length?"},
       {edit("max_length", "max_lenght")}},
      {"train run.txtpb",
       {"model.d_model: got '\"wide\"', expected an integer"},
       {edit("d_model: 16", "d_model: \"wide\"")}},
      {"train run.txtpb", {"optimizer.kind: got 'ADAM', expected one of ADAFACTOR, ADAMW"}, {edit("ADAMW", "ADAM")}},
      {"train run.txtpb", {"the text ends here, but a brace is still open"}, {cut("run.txtpb", 46)}},
      {"train run.txtpb", {"base.txtpb: no such configuration file"}, {edit("steps: 4", "base: \"base.txtpb\"")}},
      {"train run.txtpb", {"circle"}, {edit("steps: 4", "base: \"run.txtpb\"")}},
      // Built without CUDA, or on a machine where no GPU is to be seen.
      {set("device=CUDA"), {"device: got CUDA, "}},
      {set("model.d_modle=3"), {"unknown field 'd_modle' in model; did you mean d_model"}},
      {set("modle.d_model=3"), {"unknown field 'modle'", "did you mean model?"}},
      {set("attention=V"),
       {"the configuration has no field 'attention'; did you mean model.encoder.attention, model.decoder.attention?"}},
      {set("model.batch=8"), {"model has no field 'batch'; did you mean data.batch?"}},
      {set(""), {"--set: no value, expected one"}},
      {"train runs/run",
       {"runs/run: a folder", "did you mean runs/run/config.txtpb?"},
       {write("runs/run/config.txtpb", "")}},
      {set("model=3"), {"model is a group of fields", "model.FIELD=VALUE"}},
      {set("model.d_model.x=3"), {"model.d_model has no fields of its own"}},
      {set("seed"), {"no value, expected field.path=value"}},
      {set("steps=many"), {"steps got 'many', expected an integer"}},
      {set("steps="), {"steps got '', expected an integer"}},
      {set("dropout=0,1"), {"dropout got '0,1', expected a number"}},
      {set("seed=18446744073709551616"), {"seed got '18446744073709551616', expected a non-negative integer"}},
      {set("seed=-1"), {"seed got '-1', expected a non-negative integer"}},
      {set("model.relative_bias=yes"), {"expected true or false"}},
      {set("parallel.wire=HALF"), {"parallel.wire got 'HALF', expected one of FULL, BF16"}},
      {"train run.txtpb --set parallel.wire=BF16 --set parallel.reduction=ORDERED",
       {"parallel.wire: got BF16 with parallel.reduction ORDERED, expected FULL, or reduction FAST"}},
      {set("schedule.kind=LINEER"), {"LINEER", "did you mean LINEAR"}},
      {set("base=run.txtpb"), {"composed only by `base` inside a file"}},
      {set("model.encoder.attention=RR"), {"unknown attention function 'RR'", "did you mean"}},
      {set("model.encoder.attention=DynConv+V"), {"DynConv stands alone"}},
      {set("model.encoder.attention=R++V"), {"got 'R++V', expected names joined by '+'"}},
      {set("parallel.layout=bach:data"), {"no dimension 'bach'", "did you mean batch?"}},
      {set("freeze=encoder.layer"), {"freeze: no parameter is named encoder.layer; did you mean encoder.layers"}},
      {set("recompute=LAYER"), {"recompute got 'LAYER', expected one of NONE, ATTENTION, BLOCK"}},
      {set("on_nonfinite=IGNORE"), {"on_nonfinite got 'IGNORE', expected one of STOP, SKIP"}},
      {train("--steps 0"), {"steps: got 0"}},
      {train("--steps -3"), {"steps: got -3"}},
      {train("--profile 0"), {"--profile: got 0, expected 1 to 100 steps"}},
      {train("--profile -1"), {"--profile: got -1, expected 1 to 100 steps"}},
      {train("--profile 101 --steps 900"), {"--profile: got 101, expected 1 to 100 steps"}},
      {train("--profile 3"), {"--profile: got 3, expected at most 2: 4 step(s) are left, of which 2 warm up"}},
      {train("--profile all"), {"--profile: got 'all', expected a whole number"}},
      {train("--profile"), {"--profile: no value, expected one"}},
      {train("--step 3"), {"unknown option '--step'; did you mean --steps"}},
      // two fields that contradict
      {set("model.num_heads=3") + " --set model.d_head=0",
       {"model.d_head: 0 stands for d_model / num_heads", "16 is no multiple of 3"}},
      {set("data.input_length=64"), {"data.input_length: got 64, expected at most model.max_length 40"}},
      {set("data.target_length=3"), {"data.target_length: got 3, expected at least the"}},
      {set("model.structure=DECODER"), {"data.objective: got SPAN_DENOISING with model.structure DECODER"}},
      {set("model.num_buckets=31"), {"model.num_buckets: got 31, expected an even number"}},
      {set("model.max_distance=16"), {"model.max_distance: got 16, expected more than half of model.num_buckets"}},
      {set("schedule.kind=LINEAR") + " --set schedule.warmup=4",
       {"schedule.warmup: got 4, expected less than the 4 steps"}},
      {set("schedule.kind=COSINE") + " --set schedule.end=1",
       {"schedule.end: got 1, expected at most schedule.learning_rate"}},
      {set("model.encoder.attention=FD") + " --set model.encoder.factor_a=7",
       {"factor_a: got 7, expected a divisor of max_length 40"}},
      {set("parallel.mesh.data=2"), {"parallel.mesh", "2 rank(s), got 1", "mpirun -n 2"}},
  };
  expect_refused(place.path(), table);
}

// Every numeric field of the schema, below and above its range.
TEST(WrongTrain, EveryFieldOutOfItsRange) {
  const TemporaryFolder folder;
  folder.write("run.txtpb", "");
  const auto before = tree(folder.path());
  int typed = 0;
  for (const Range& range : field_ranges()) {
    std::vector<std::string> outside = {fmt::format("{}={}", range.path, range.low_open ? range.low : range.low - 1)};
    if (std::isfinite(range.high))
      outside.push_back(fmt::format("{}={:.0f}", range.path, range.high_open ? range.high : range.high + 1));
    if (range.path == "seed") outside = {"seed=-1"};  // all of its type is in its range
    for (const std::string& assignment : outside) {
      const ProgramResult result = run_program(words_of(set(assignment)), folder.path());
      EXPECT_EQ(result.exit_code, 2) << assignment;
      EXPECT_THAT(error_line(result), testing::HasSubstr(fmt::format("{}", range.path))) << assignment;
      ++typed;
    }
  }
  EXPECT_GE(typed, 100);
  EXPECT_TRUE(tree(folder.path()) == before);
}

TEST(WrongTrain, Folders) {
  const Workplace place;
  place.must({"data", "vocab", "--input", "text.json.gz", "--size", "310", "--output", "other.model"});
  place.must({"data", "build", "--input", "text.json.gz", "--tokenizer", "other.model", "--output", "other"});
  place.folder().write("short.jsonl", "{\"text\": \"One.\"}\n{\"text\": \"Two.\"}\n");
  place.must({"data", "build", "--input", "short.jsonl", "--tokenizer", "spiece.model", "--output", "short"});
  place.folder().write("one.jsonl", "{\"text\": \"One.\"}\n");
  place.must({"data", "build", "--input", "one.jsonl", "--tokenizer", "spiece.model", "--output", "one"});
  const std::string shard = "shards/part-00000.h5";
  const Wrong table[] = {
      {set("data.shards=nowhere"), {"data.shards: no such folder: nowhere", "data build"}},
      {set("data.shards="), {"data.shards: not given"}},
      {set("data.shards=run.txtpb"), {"data.shards: not a folder: run.txtpb"}},
      {set("data.shards=out"), {"data.shards: out has no manifest.json", "not finished"}, {make_folder("out")}},
      {set("data.validation=nowhere"), {"data.validation: no such folder: nowhere"}},
      {set("data.validation=other"), {"data.validation: other was built with another tokenizer"}},
      {set("data.shards=short"), {"data.shards: short has", "expected at least", "Give more text"}},
      {set("data.shards=one"), {"one has 1 document", "data.validation"}},
      {set("model.vocab_size=100"), {"model.vocab_size: got 100, expected at least the 300 pieces and 100 sentinels"}},
      {train(""), {"altered shard shards/part-00000.h5", "bytes, expected"}, {cut(shard, -10)}},
      {train(""), {"shard shards/part-00000.h5 is missing"}, {remove(shard)}},
      {train(""), {"shard shards/part-00001.h5 is not in manifest.json"}, {copy(shard, "shards/part-00001.h5")}},
      {train(""),
       {"manifest.json", "shard 1: got file 'part-00000.h5', expected part-00001.h5"},
       {[](const std::filesystem::path& at) {
         Manifest manifest = read_manifest(at / "shards");
         manifest.shards.push_back(manifest.shards[0]);
         write_manifest(at / "shards", manifest);
       }}},
      {train(""), {"shards/tokenizer.model"}, {remove("shards/tokenizer.model")}},
      {train(""),
       {"/documents is a data set of big-endian uint64"},
       {forge(shard, {.offsets_type = H5T_STD_U64BE}), admit("shards")}},
      {train("--run ''"), {"--run: got an empty text"}},
      {train("--run run.txtpb"), {"--run run.txtpb", "it is a file, expected a folder"}},
      {train("--run run.txtpb/run"), {"--run run.txtpb/run", "Not a directory"}},
      {train("--run " + std::string(300, 'r')), {"File name too long"}},
      {train("--run loop/run"), {"loop", "Too many levels of symbolic links"}, {link("loop", "loop")}},
      {train("--run notes"), {"notes: not a run's folder", "a.txt but no config.txtpb"}, {write("notes/a.txt", "x")}},
      {train("--run locked/run"),
       {"--run locked/run", "in locked: Permission denied"},
       {make_folder("locked"), permit("locked", 0555)},
       "",
       true},
      {train(""), {"shards/manifest.json", "Permission denied"}, {permit("shards/manifest.json", 0)}, "", true},
  };
  expect_refused(place.path(), table);
}

}  // namespace
}  // namespace synthesizer
