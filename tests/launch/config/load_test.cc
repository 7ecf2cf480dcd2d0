// Composing a configuration: files over files, assignments over files, defaults under all; and what is said of mistyped
// text.
#include "launch/config/load.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>

#include "launch/config/text.h"
#include "tests/launch/messages.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Load, FillsDefaults) {
  const TemporaryFolder folder;
  const config::Run run = load_run(folder.write("a.txtpb", ""), {});
  EXPECT_EQ(run.model().d_head(), 64);
  EXPECT_EQ(run.model().encoder().attention(), "V");
  EXPECT_EQ(run.optimizer().kind(), config::Optimizer::ADAFACTOR);
  EXPECT_EQ(run.parallel().layout(), "batch:data heads:tensor ff:tensor vocab:tensor");
  EXPECT_EQ(run.schedule().learning_rate(), 1.0);  // RSQRT's own default
  EXPECT_EQ(run.schedule().warmup(), 10000);
  EXPECT_EQ(run.data().target_length(), 114);
}

TEST(Load, DefaultsFollowOtherFields) {
  const TemporaryFolder folder;
  const config::Run run =
      load_run(folder.write("a.txtpb",
                            "schedule { kind: LINEAR } data { objective: CAUSAL } model { d_model: 96 num_heads: 4 }"),
               {});
  EXPECT_EQ(run.schedule().learning_rate(), 0.001);
  EXPECT_EQ(run.schedule().warmup(), 0);
  EXPECT_EQ(run.data().input_length(), 0);
  EXPECT_EQ(run.data().target_length(), 512);
  EXPECT_EQ(run.model().d_head(), 24);
}

TEST(Load, LaysFilesOverTheirBases) {
  const TemporaryFolder folder;
  folder.write("models/size.txtpb",
               "model { d_model: 64 d_ff: 128 encoder { layers: 2 attention: \"R\" } } freeze: \"embedding\" steps: 5");
  folder.write("runs/common.txtpb", "base: \"../models/size.txtpb\" dropout: 0 seed: 7");
  const std::string file = folder.write("runs/a.txtpb",
                                        "base: \"common.txtpb\" freeze: \"encoder\" freeze: \"decoder\" model { d_ff: "
                                        "256 encoder { attention: \"R+V\" } }");
  const config::Run run = load_run(file, {});
  EXPECT_EQ(run.model().d_model(), 64);
  EXPECT_EQ(run.model().d_ff(), 256);
  EXPECT_EQ(run.model().encoder().layers(), 2);
  EXPECT_EQ(run.model().encoder().attention(), "R+V");
  EXPECT_EQ(run.dropout(), 0.0);
  EXPECT_EQ(run.seed(), 7u);
  EXPECT_EQ(run.steps(), 5);
  EXPECT_THAT(run.freeze(), ElementsAre("encoder", "decoder"));
  EXPECT_EQ(run.base_size(), 0);
}

TEST(Load, LaterBasesOverrideEarlierOnes) {
  const TemporaryFolder folder;
  folder.write("one.txtpb", "steps: 1 seed: 1");
  folder.write("two.txtpb", "steps: 2");
  const config::Run run = load_run(folder.write("a.txtpb", "base: \"one.txtpb\" base: \"two.txtpb\" seed: 3"), {});
  EXPECT_EQ(run.steps(), 2);
  EXPECT_EQ(run.seed(), 3u);
}

TEST(Load, AssignmentsOverrideFiles) {
  const TemporaryFolder folder;
  const config::Run run = load_run(folder.write("a.txtpb", "steps: 3 freeze: \"decoder\""),
                                   {"steps=9", "model.encoder.attention=D+V", "model.decoder.attention=\"R\"",
                                    "dropout=1e-2", "model.relative_bias=false", "model.encoder.mixture=SUM",
                                    "freeze=embedding,encoder", "parallel.mesh.data=2", "seed=18446744073709551615"});
  EXPECT_EQ(run.steps(), 9);
  EXPECT_EQ(run.model().encoder().attention(), "D+V");
  EXPECT_EQ(run.model().decoder().attention(), "R");
  EXPECT_EQ(run.dropout(), 0.01);
  EXPECT_FALSE(run.model().relative_bias());
  EXPECT_EQ(run.model().encoder().mixture(), config::Stack::SUM);
  EXPECT_THAT(run.freeze(), ElementsAre("embedding", "encoder"));
  EXPECT_EQ(run.parallel().mesh().data(), 2);
  EXPECT_EQ(run.seed(), 18446744073709551615u);
}

TEST(Load, EffectiveTextReadsBackTheSame) {
  const TemporaryFolder folder;
  const config::Run run =
      load_run(folder.write("a.txtpb", "z_loss: 0.0001 optimizer { epsilon_square: 1e-30 } freeze: \"encoder\""), {});
  const config::Run again = load_run(folder.write("b.txtpb", run_text(run)), {});
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(run, again)) << run_text(run) << run_text(again);
}

TEST(Load, FilesThatCannotBeRead) {
  const TemporaryFolder folder;
  folder.write("quickstart.txtpb", "");
  EXPECT_THAT(usage_message([&] { load_run(folder.path() / "quikstart.txtpb", {}); }),
              AllOf(HasSubstr("no such configuration file; did you mean"), HasSubstr("/quickstart.txtpb?")));
  EXPECT_THAT(usage_message([&] { load_run(folder.path(), {}); }),
              HasSubstr("a folder, expected a configuration file"));
  const std::string over_nothing = folder.write("a.txtpb", "base: \"missing_here.txtpb\"");
  EXPECT_THAT(usage_message([&] { load_run(over_nothing, {}); }),
              HasSubstr("missing_here.txtpb: no such configuration file"));
  EXPECT_THAT(usage_message([&] { load_run(folder.write("b.txtpb", "base: \"\""), {}); }),
              HasSubstr("base: got an empty name"));
}

TEST(Load, RefusesCircles) {
  const TemporaryFolder folder;
  folder.write("b.txtpb", "base: \"./a.txtpb\"");
  const std::string file = folder.write("a.txtpb", "base: \"b.txtpb\"");
  EXPECT_THAT(usage_message([&] { load_run(file, {}); }), HasSubstr("base files include each other in a circle"));
  const std::string self = folder.write("c.txtpb", "base: \"c.txtpb\"");
  EXPECT_THAT(usage_message([&] { load_run(self, {}); }), HasSubstr("circle"));
}

// Each names the next one twice: 2^40 files to read.
TEST(Load, RefusesBasesWithoutEnd) {
  const TemporaryFolder folder;
  for (int i = 0; i < 40; ++i)
    folder.write(fmt::format("{}.txtpb", i), fmt::format("base: \"{}.txtpb\" base: \"{}.txtpb\"", i + 1, i + 1));
  folder.write("40.txtpb", "steps: 4");
  EXPECT_THAT(usage_message([&] { load_run(folder.path() / "0.txtpb", {}); }), HasSubstr("more than 100 base files"));
}

TEST(Load, RefusesWhatIsTooLarge) {
  const TemporaryFolder folder;
  const std::string file = folder.write("large.txtpb", std::string(2 << 20, '#'));
  EXPECT_THAT(usage_message([&] { load_run(file, {}); }), HasSubstr("large.txtpb: got more than 1048576 bytes"));
}

TEST(Load, OneFileMayBeTheBaseOfTwo) {
  const TemporaryFolder folder;
  folder.write("size.txtpb", "steps: 4");
  folder.write("one.txtpb", "base: \"size.txtpb\"");
  folder.write("two.txtpb", "base: \"size.txtpb\"");
  EXPECT_EQ(load_run(folder.write("a.txtpb", "base: \"one.txtpb\" base: \"two.txtpb\""), {}).steps(), 4);
}

struct TextCase {
  std::string name;
  std::string text;
  std::string message;  // after the file's name
};

class MistypedText : public testing::TestWithParam<TextCase> {};

TEST_P(MistypedText, SaysWhereAndWhatIsNear) {
  const std::string message = usage_message([&] { parse_run(GetParam().text, "run.txtpb"); });
  EXPECT_EQ(message, "run.txtpb" + GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Text, MistypedText,
    testing::Values(
        TextCase{"field", "steps: 3\nmodle { }",
                 ":2:1: unknown field 'modle' in the configuration; did you mean model?"},
        TextCase{"inner_field", "model {\n  encoder { # a { comment\n\tatention: \"V\" } }",
                 ":3:9: unknown field 'atention' in model.encoder; did you mean attention?"},
        TextCase{"after_closed_message", "model { encoder { layers: 2 } d_modle: 3 }",
                 ":1:31: unknown field 'd_modle' in model; did you mean d_model?"},
        TextCase{"braces_in_text", "data { shards: \"a{b\\\"{\" btch: 3 }",
                 ":1:25: unknown field 'btch' in data; did you mean batch?"},
        TextCase{"enumeration", "schedule { kind: RSQT }",
                 ":1:18: schedule.kind: got 'RSQT', expected one of RSQRT, CONSTANT, LINEAR, COSINE, INVERSE_SQRT"},
        TextCase{"integer", "steps: many", ":1:8: steps: got 'many', expected an integer"},
        TextCase{"fraction", "model { d_ff: 1.5 }", ":1:15: model.d_ff: got '1.5', expected an integer"},
        TextCase{"too_large", "model { d_ff: 99999999999 }",
                 ":1:15: model.d_ff: got '99999999999', expected an integer"},
        TextCase{"number", "dropout: much", ":1:10: dropout: got 'much', expected a number"},
        TextCase{"text", "data { shards: here }", ":1:16: data.shards: got 'here', expected text in quotes"},
        TextCase{"boolean", "model { universal: maybe }",
                 ":1:26: model.universal: got 'maybe', expected true or false"},
        TextCase{"twice", "steps: 1 steps: 2", ":1:15: Non-repeated field \"steps\" is specified multiple times"},
        TextCase{"unclosed", "model { d_ff: 8",
                 ":1:16: the text ends here, but a brace is still open: expected fields and a }"},
        TextCase{"no_text_at_all", "\xff\xfe",
                 ":1:1: not text: expected a configuration or a device file, as those in configs"}),
    [](const auto& row) { return row.param.name; });

struct SetCase {
  std::string name;
  std::string assignment;
  std::string message;  // after "--set ASSIGNMENT: "
};

class MistypedSet : public testing::TestWithParam<SetCase> {};

TEST_P(MistypedSet, SaysWhatIsNearOrExpected) {
  const TemporaryFolder folder;
  const std::string file = folder.write("a.txtpb", "");
  const std::string message = usage_message([&] { load_run(file, {GetParam().assignment}); });
  EXPECT_EQ(message, "--set " + GetParam().assignment + ": " + GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Set, MistypedSet,
    testing::Values(SetCase{"field", "stps=3", "unknown field 'stps' in the configuration; did you mean steps?"},
                    SetCase{"inner", "model.encoder.atention=R",
                            "unknown field 'atention' in model.encoder; did you mean attention?"},
                    SetCase{"elsewhere", "model.every=3",
                            "model has no field 'every'; did you mean eval.every, checkpoint.every, log.every?"},
                    SetCase{"middle", "model.encodr.attention=R",
                            "unknown field 'encodr' in model; did you mean encoder, decoder?"},
                    SetCase{"no_value", "steps", "no value, expected field.path=value"},
                    SetCase{"integer", "steps=many", "steps got 'many', expected an integer"},
                    SetCase{"trailing", "steps=10x", "steps got '10x', expected an integer"},
                    SetCase{"too_large", "model.d_ff=99999999999", "model.d_ff got '99999999999', expected an integer"},
                    SetCase{"negative_seed", "seed=-1", "seed got '-1', expected a non-negative integer"},
                    SetCase{"number", "dropout=", "dropout got '', expected a number"},
                    SetCase{"boolean", "model.universal=yes", "model.universal got 'yes', expected true or false"},
                    SetCase{"enumeration", "precision=FP23",
                            "precision got 'FP23', expected one of FP32, BF16, FP64; did you mean FP32, FP64?"},
                    SetCase{"message", "eval=3",
                            "eval is a group of fields (every, batches), expected one of them: eval.FIELD=VALUE"},
                    SetCase{"below_scalar", "steps.every=3",
                            "steps has no fields of its own, expected steps=an integer"},
                    SetCase{"base", "base=a.txtpb", "files are composed only by `base` inside a file"}),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace synthesizer
