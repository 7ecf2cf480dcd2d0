// What is wrong with text, tokenizers and shards, typed at `data vocab|build|inspect|verify`.
#include <gmock/gmock.h>

#include "tests/launch/wrong/forged_shard.h"

namespace synthesizer {
namespace {

// `data build` of this input, in the workplace.
std::string build(const std::string& input, const std::string& more = "--tokenizer spiece.model --output out") {
  return "data build --input " + input + " " + more;
}

const std::string kGood = "{\"text\": \"One line that is right.\"}\n";
const std::string kLatin = "caf\xe9\n";

TEST(WrongData, Text) {
  const Workplace place;
  const Wrong table[] = {
      {build("missing-*.json.gz"), {"input missing-*.json.gz: no such file"}},
      {build("''"), {"--input: got an empty text"}},
      {build("lines.jsonl"),
       {"line 2 of lines.jsonl", "byte 17"},
       {write("lines.jsonl", kGood + "{\"text\": \"broken\n")}},
      {build("lines.jsonl"), {"lines.jsonl", "expected an object"}, {write("lines.jsonl", kGood + "[1, 2]\n")}},
      {build("lines.jsonl"),
       {"line 1", "no field \"text\"; it has body", "--text-field"},
       {write("lines.jsonl", "{\"body\": \"b\"}\n")}},
      {build("lines.jsonl", "--tokenizer spiece.model --output out --text-field body"),
       {"no field \"body\"; it has text"},
       {write("lines.jsonl", kGood)}},
      {build("lines.jsonl"),
       {"line 2", "field \"text\" is a number, expected a string"},
       {write("lines.jsonl", kGood + "{\"text\": 3}\n")}},
      {build("latin.txt"),
       {"invalid UTF-8 at line 1 byte 4 of latin.txt: got 0xe9", "iconv"},
       {write("latin.txt", kLatin)}},
      {build("lines.jsonl"), {"empty corpus", "1 input files hold 0 documents"}, {write("lines.jsonl", "")}},
      {build("empty.txt"), {"empty corpus", "hold 3 documents and no text"}, {write("empty.txt", "\n\n\n")}},
      {build("run.txtpb"), {"run.txtpb", "expected .json, .jsonl or .txt"}},
      {build("shards"), {"input shards is a folder", "shards/*.json.gz"}},
      {build("plain.json.gz"),
       {"input plain.json.gz: got a file that is not in gzip format"},
       {write("plain.json.gz", kGood)}},
      {build("text.json.gz"),
       {"input text.json.gz ends early: its gzip stream is cut off"},
       {cut("text.json.gz", -100)}},
      {build("text.json.gz"), {"input text.json.gz ends early"}, {cut("text.json.gz", 1000)}},
      {build("text.json.gz"), {"text.json.gz"}, {flip("text.json.gz", 5000)}},
      {build("text.json.gz/x.txt"), {"input text.json.gz/x.txt: no such file"}},
      {build("loop.txt"), {"loop.txt", "Too many levels of symbolic links"}, {link("loop.txt", "loop.txt")}},
      {build("locked.txt"),
       {"locked.txt: Permission denied"},
       {write("locked.txt", "a\n"), permit("locked.txt", 0)},
       "",
       true},
      {"data vocab --input lines.jsonl --output new.model", {"empty corpus"}, {write("lines.jsonl", "")}},
      {"data vocab --input latin.txt --output new.model", {"latin.txt", "UTF-8"}, {write("latin.txt", kLatin)}},
      {"data vocab --input text.json.gz --output shards", {"--output shards: it is a folder"}},
      {"data vocab --input text.json.gz --output run.txtpb/new.model",
       {"--output run.txtpb", "it is a file, expected a folder"}},
      {"data vocab --input text.json.gz --output new.model --size 3", {"--size: got 3, expected at least 4"}},
      {"data vocab --input text.json.gz --output new.model --size 1000000", {"1000000 pieces", "another --size"}},
      {"data vocab --input text.json.gz --output locked/new.model",
       {"--output locked", "Permission denied"},
       {make_folder("locked"), permit("locked", 0555)},
       "",
       true},
      {"data vocab --input text.json.gz --output ''", {"--output: got an empty text"}},
  };
  expect_refused(place.path(), table);
}

TEST(WrongData, Builds) {
  const Workplace place;
  const auto to = [](const std::string& more) { return build("text.json.gz", more); };
  const Wrong table[] = {
      {to("--tokenizer missing.model --output out"), {"missing.model", "No such file"}},
      {to("--tokenizer run.txtpb --output out"), {"run.txtpb is no SentencePiece model", "data vocab"}},
      {to("--tokenizer empty.model --output out"),
       {"empty.model is no SentencePiece model"},
       {write("empty.model", "")}},
      {to("--tokenizer shards --output out"), {"shards", "it is a folder, expected a file"}},
      {to("--tokenizer spiece.model --output run.txtpb"), {"--output run.txtpb: it is a file, expected a folder"}},
      {to("--tokenizer spiece.model --output run.txtpb/out"), {"--output run.txtpb/out", "Not a directory"}},
      {to("--tokenizer spiece.model --output locked/out"),
       {"--output locked/out", "Permission denied"},
       {make_folder("locked"), permit("locked", 0555)},
       "",
       true},
      {to("--tokenizer spiece.model --output shards --compress"),
       {"shards holds a finished build of other input or options", "\"compress\":true"}},
      {to("--tokenizer spiece.model --output out"),
       {"out holds shards", "Choose another folder"},
       {write("out/part-00000.h5", "x")}},
      {to("--tokenizer spiece.model --output out --shards 1000"), {"--shards: got 1000, expected at most 115"}},
      {to("--tokenizer spiece.model --output out --shards -1"), {"--shards"}},
      {to("--tokenizer spiece.model --output out --threads many"), {"--threads", "many"}},
      {to("--tokenizer spiece.model --output out --document word"), {"--document", "word"}},
      {to("--tokenizer spiece.model"), {"--output is required"}},
      {to("--tokenizer spiece.model --output out --shard 3"), {"unknown option '--shard'; did you mean --shards?"}},
  };
  expect_refused(place.path(), table);
}

TEST(WrongData, ShardsAlone) {
  const Workplace place;
  const std::string shard = "forged.h5";
  const std::string type = "data inspect " + shard;
  ForgedShard no_format, no_version, no_tokens, no_documents, set, attribute, doubled, flat;
  no_format.missing = "format";
  no_version.missing = "version";
  no_tokens.missing = "/tokens";
  no_documents.missing = "/documents";
  set.stranger = "weights";
  attribute.stranger = "@author";
  doubled.linked = true;
  flat.chunked = false;
  ForgedShard format, version, big_endian, wide, narrow, signs, floats;
  format.format = "somebody.else";
  version.version = 2;
  big_endian.tokens_type = H5T_STD_U16BE;
  wide.tokens_type = H5T_STD_U32LE;
  narrow.offsets_type = H5T_STD_U32LE;
  signs.tokens_type = H5T_STD_I16LE;
  floats.tokens_type = H5T_IEEE_F32LE;
  const Wrong table[] = {
      {"data inspect nowhere", {"nowhere"}},
      {"data inspect run.txtpb", {"run.txtpb", "no HDF5 file"}},
      {type, {"forged.h5", "no attribute format"}, {forge(shard, no_format)}},
      {type, {"forged.h5", "no attribute version"}, {forge(shard, no_version)}},
      {type, {"forged.h5", "no data set /tokens"}, {forge(shard, no_tokens)}},
      {type, {"forged.h5", "no data set /documents"}, {forge(shard, no_documents)}},
      {type, {"forged.h5", "member /weights is not of the format", "/tokens, /documents"}, {forge(shard, set)}},
      {type, {"forged.h5", "attribute author is not of the format"}, {forge(shard, attribute)}},
      {type,
       {"forged.h5", "/documents is a data set of little-endian uint16, expected little-endian uint64"},
       {forge(shard, doubled)}},
      {type, {"forged.h5", "/tokens is no chunked data set"}, {forge(shard, flat)}},
      {type, {"forged.h5", "somebody.else", "expected \"synthesizer.shard\""}, {forge(shard, format)}},
      {type, {"forged.h5: got version 2, this program reads version 1"}, {forge(shard, version)}},
      {type, {"/tokens is a data set of big-endian uint16, expected little-endian uint16"}, {forge(shard, big_endian)}},
      {type, {"/tokens is a data set of little-endian uint32, expected little-endian uint16"}, {forge(shard, wide)}},
      {type,
       {"/documents is a data set of little-endian uint32, expected little-endian uint64"},
       {forge(shard, narrow)}},
      {type, {"/tokens is a data set of little-endian int16"}, {forge(shard, signs)}},
      {type, {"/tokens is a data set of little-endian float32"}, {forge(shard, floats)}},
      {type, {"forged.h5"}, {forge(shard, {}), cut(shard, -200)}},
  };
  expect_refused(place.path(), table);
}

TEST(WrongData, Folders) {
  const Workplace place;
  const std::string shard = "shards/part-00000.h5", manifest = "shards/manifest.json";
  const std::string verify = "data verify shards", look = "data inspect shards";
  ForgedShard other;
  other.vocab_size = 70000;
  other.tokens_type = H5T_STD_U32LE;
  const Wrong table[] = {
      {"data verify nowhere", {"nowhere is no folder of shards"}},
      {"data verify run.txtpb", {"run.txtpb is no folder of shards"}},
      {"data verify out", {"out has no manifest.json", "not finished"}, {make_folder("out")}},
      {verify, {"manifest.json is broken"}, {write(manifest, "{")}},
      {verify,
       {"manifest.json is broken: it lists no shard"},
       {write(manifest,
              "{\"format\":\"synthesizer.shards\",\"version\":1,\"vocab_size\":1,\"eos_id\":1,\"tokenizer_sha256\":"
              "\"\",\"build\":{},\"shards\":[]}")}},
      {verify, {"manifest.json", "version 2", "version 1"}, {replace(manifest, "\"version\": 1", "\"version\": 2")}},
      {verify, {"shards/part-00000.h5 is missing"}, {remove(shard)}},
      {verify, {"altered shard shards/part-00000.h5: got", "bytes, expected"}, {cut(shard, -1)}},
      {verify, {"altered shard shards/part-00000.h5", "names and attributes"}, {flip(shard, 100)}},
      {verify, {"altered shard shards/part-00000.h5", "/tokens chunk 0"}, {flip(shard, 20000)}},
      {look, {"shard shards/part-00001.h5 is not in manifest.json"}, {copy(shard, "shards/part-00001.h5")}},
      {verify, {"shards/part-00000.h5: got vocab_size 70000, expected 512"}, {forge(shard, other), admit("shards")}},
      {verify, {"token 7 of /tokens is 310", "300 pieces"}, {set_tokens(shard, 7, {310}), admit("shards")}},
      {verify,
       {"token 9 of /tokens is 60000, expected below vocab_size"},
       {set_tokens(shard, 9, {60000}), admit("shards")}},
      {verify,
       {"document 0 ends at token", "without eos"},
       {set_tokens(shard, 0, std::vector<int32_t>(4000, 5)), admit("shards")}},
      {verify, {"tokenizer.model"}, {remove("shards/tokenizer.model")}},
      {verify,
       {"tokenizer.model is not the tokenizer of these shards", "SHA-256"},
       {copy("other.model", "shards/tokenizer.model")}},
      {look + " --examples -3", {"--examples"}},
      {look + " --examples 2 --config nowhere.txtpb", {"nowhere.txtpb: no such configuration file"}},
      {look, {"shards/manifest.json", "Permission denied"}, {permit(manifest, 0)}, "", true},
      {look, {"shards/part-00000.h5", "Permission denied"}, {permit(shard, 0)}, "", true},
  };
  place.must({"data", "vocab", "--input", "text.json.gz", "--size", "310", "--output", "other.model"});
  expect_refused(place.path(), table);
}

}  // namespace
}  // namespace synthesizer
