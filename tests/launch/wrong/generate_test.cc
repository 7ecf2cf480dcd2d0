// What is wrong at `generate`, `eval` and `inspect`.
#include <gmock/gmock.h>

#include "tests/launch/wrong/wrong.h"

namespace synthesizer {
namespace {

TEST(WrongCommands, GenerateEvalInspect) {
  const Workplace place;
  place.must({"train", "run.txtpb"});
  const std::string checkpoint = "runs/run/checkpoints/step_00000004";
  const std::string generate = "generate --checkpoint " + checkpoint;
  // There are no labelled examples yet for it to learn from or be judged by.
  const std::string classifier = " run.txtpb --set model.structure=ENCODER_CLASSIFIER --set model.num_classes=3";
  const Wrong table[] = {
      {"train" + classifier, {"data.objective", "ENCODER_CLASSIFIER", "labelled"}},
      {"eval" + classifier, {"data.objective", "ENCODER_CLASSIFIER", "labelled"}},
      {"data inspect shards --config '" SYNTHESIZER_SOURCE_DIR "/configs/models/classify_v.txtpb'",
       {"data.objective", "labelled"}},
      {"generate --checkpoint nowhere", {"nowhere: no such checkpoint"}},
      {"generate --checkpoint runs/run", {"did you mean " + checkpoint + "?"}},
      {"generate", {"--checkpoint is required"}},
      {generate + " --input nowhere", {"--input nowhere: cannot be read: No such file or directory"}},
      {generate + " --input shards", {"--input shards: it is a folder, expected a file of lines"}},
      {generate, {"extra_id_900"}, {}, "a <extra_id_900> b\n"},
      {generate, {"line 1", "UTF-8"}, {}, "caf\xe9\n"},
      {generate + " --input latin.txt", {"--input latin.txt: line 2", "UTF-8"}, {write("latin.txt", "a\ncaf\xe9\n")}},
      {generate + " --max-length 41", {"--max-length: got 41, expected at most the model's max_length 40"}},
      {generate + " --max-length -1", {"--max-length: got -1, expected at least 0"}},
      {generate + " --beam 4", {"--beam: got 4, which is not in this version"}},
      {generate + " --batch 0", {"--batch: got 0, expected at least 1"}},
      {generate + " --batch many", {"--batch: got 'many', expected a whole number"}},
      {generate + " --bem 2", {"unknown option '--bem'; did you mean --beam"}},
      {generate, {"shards/tokenizer.model"}, {remove("shards")}, "a\n"},
      {"eval", {"config is required"}},
      {"eval nowhere.txtpb", {"nowhere.txtpb: no such configuration file"}},
      {"eval run.txtpb", {"runs/run/checkpoints: no checkpoint there", "--checkpoint"}, {remove("runs")}},
      {"eval run.txtpb --set dropout=2", {"dropout: got 2"}},
      {"eval run.txtpb --checkpoint ''", {"--checkpoint: got an empty text"}},
      {"bench data", {"config is required"}},
      {"bench data nowhere.txtpb", {"nowhere.txtpb: no such configuration file"}},
      {"bench data run.txtpb --set data.shards=nowhere", {"data.shards: no such folder: nowhere"}},
      {"bench data run.txtpb --set data.batch=0", {"data.batch: got 0"}},
      {"bench data run.txtpb --batches 0", {"--batches: got 0, expected at least 1"}},
      {"bench data run.txtpb --bathces 2", {"unknown option '--bathces'; did you mean --batches"}},
      {"inspect graph nowhere.txtpb", {"nowhere.txtpb: no such configuration file"}},
      {"inspect graph run.txtpb --rank 2 --ranks 2", {"--rank: got 2, expected less than --ranks 2"}},
      {"inspect graph run.txtpb --ranks 0", {"--ranks: got 0, expected at least 1"}},
      {"inspect graph run.txtpb --ranks 3", {"data.batch: got 4, expected a multiple of parallel.mesh.data 3"}},
      {"inspect graph run.txtpb --dot --json", {"--dot", "--json"}},
      {"inspect graph run.txtpb --set data.shards=nowhere", {"data.shards: no such folder: nowhere"}},
      {"inspect graph run.txtpb --set data.shards= --set model.vocab_size=50",
       {"model.vocab_size: got 50, expected more than the 100 sentinels"}},
      {"plan nowhere.txtpb", {"nowhere.txtpb: no such configuration file"}},
      {"plan run.txtpb --mesh dta=2", {"--mesh dta=2: no axis 'dta'", "did you mean data?"}},
      {"plan run.txtpb --threads 0", {"--threads"}},
      {"plan run.txtpb --mesh data", {"--mesh data: got 'data', expected data=RANKS"}},
      {"plan run.txtpb --mesh data=", {"--mesh data=: got 'data=', expected data=RANKS"}},
      {"plan run.txtpb --mesh data=0", {"got 'data=0', expected data=RANKS, RANKS from 1 to"}},
      {"plan run.txtpb --mesh data=2x", {"got 'data=2x', expected data=RANKS"}},
      {"plan run.txtpb --mesh data=2,data=2", {"data is there twice"}},
      {"plan run.txtpb --mesh data=1048576,tensor=4", {"got 4194304 ranks, expected at most 1048576"}},
      {"plan run.txtpb --mesh tensor=3", {"model.num_heads: got 2, expected a multiple of parallel.mesh.tensor 3"}},
      {"plan run.txtpb --mesh data=3", {"data.batch: got 4, expected a multiple of parallel.mesh.data 3"}},
      {"plan run.txtpb --device h10", {"--device h10: no such device or file", "did you mean h100"}},
      {"plan run.txtpb --device shards", {"shards"}},
      {"plan run.txtpb --device run.txtpb", {"run.txtpb:", "unknown field", "in the device file"}},
      {"plan run.txtpb --device mine.txtpb",
       {"mine.txtpb: reserved_bytes is missing, expected an integer"},
       {write("mine.txtpb", "name: 'mine' memory_bytes: 1000000")}},
      {"plan run.txtpb --search", {"--search: no --ranks, expected how many there are"}},
      {"plan run.txtpb --ranks 4", {"--ranks", "--search"}},
      {"plan run.txtpb --search --ranks 4 --mesh data=4", {"--mesh", "--search"}},
      {"plan run.txtpb --search --ranks 4,x", {"--ranks 4,x: got 'x', expected numbers from 1 to 1048576"}},
      {"plan run.txtpb --search --ranks 0", {"--ranks 0: got '0'"}},
      {"plan run.txtpb --search --ranks 3", {"no mesh of 3 ranks is allowed; the last: model.num_heads: got 2"}},
      {"plan run.txtpb --search --ranks 1048576 --batch-per-rank 100000", {"--batch-per-rank 100000: got a batch of"}},
      {"plan run.txtpb --search --ranks 4 --svg run.txtpb/b.svg", {"--svg"}},
      {"inspect grpah run.txtpb", {"unknown command 'grpah'; did you mean graph?"}},
  };
  expect_refused(place.path(), table);
}

}  // namespace
}  // namespace synthesizer
