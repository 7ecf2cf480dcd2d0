// No attention and no structure sees what it may not: changing a later target never changes an earlier logit, changing
// a padded input never changes any logit, the loss or a gradient. Equal means bit for bit: what is masked counts
// exactly 0.
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "core/attention/table.h"
#include "dist/thread_communicator.h"
#include "tests/core/model/model_run.h"
#include "tests/core/model/sizes.h"

namespace synthesizer {
namespace {

constexpr int64_t kPositions = 16, kClassCount = 3;

using Outputs = std::map<std::string, std::vector<double>>;
using Change = std::function<void(ModelRun&)>;

// Alone, and mixtures of parts that the examples share, that they do not, and both.
std::vector<std::string> kinds() {
  std::vector<std::string> kinds = attention_names();
  for (const char* mixture : {"R+V", "D+R+V", "FR+FD", "Fix+FR", "Conv+R", "GLU+V"}) kinds.emplace_back(mixture);
  return kinds;
}

struct Variant {
  Structure structure;
  bool universal = false;
  double dropout = 0;
  bool dropout_broadcast = true;
};

const std::vector<Variant> kWithDecoder = {{Structure::kEncoderDecoder},
                                           {Structure::kDecoder},
                                           {Structure::kEncoderDecoder, true, 0.2, true},
                                           {Structure::kDecoder, true, 0.2, false}};
const std::vector<Variant> kWithEncoder = {{Structure::kEncoderDecoder},
                                           {Structure::kEncoderClassifier},
                                           {Structure::kEncoderDecoder, false, 0.2, false},
                                           {Structure::kEncoderDecoder, true},
                                           {Structure::kEncoderClassifier, true, 0.2, true}};

RunSetting setting_of(const Variant& variant, const std::string& kind) {
  RunSetting setting{.config = tiny(attention(kind, kPositions)), .gradients = true, .passes = true};
  if (kind == "Linformer") setting.config.decoder.kind = "V";  // it can only be in an encoder
  setting.config.structure = variant.structure;
  setting.config.universal = variant.universal;
  setting.config.dropout = variant.dropout;
  setting.config.dropout_broadcast = variant.dropout_broadcast;
  if (variant.structure == Structure::kEncoderClassifier) setting.config.num_classes = kClassCount;
  setting.options.logits = true;
  return setting;
}

// What the first rank has of everything: before, and after each of the changes, which add up, on every rank's inputs.
std::vector<Outputs> run(const RunSetting& setting, int ranks, const std::vector<Change>& changes) {
  std::vector<Outputs> all(changes.size() + 1);
  run_ranks(ranks, [&](Communicator& world) {
    ModelRun model(setting, &world);
    for (size_t i = 0; i < all.size(); ++i) {
      if (i > 0) changes[i - 1](model);
      model.run(1);
      if (world.rank() == 0)
        for (const std::string& name : model.outputs()) all[i][name] = model.output(name);
    }
  });
  return all;
}

void next_id(int32_t& id) { id = (id + 1) % 37; }

// Changes the targets from `position` on, each row of `length`.
Change later_targets(int64_t position, int64_t length) {
  return [=](ModelRun& model) {
    const auto ids = model.ids("decoder_inputs");
    for (size_t i = 0; i < ids.size(); ++i)
      if (static_cast<int64_t>(i) % length >= position) next_id(ids[i]);
  };
}

// Changes the inputs whose mask is `live`.
Change inputs_of(int32_t live) {
  return [=](ModelRun& model) {
    const auto ids = model.ids("inputs"), mask = model.ids("input_mask");
    for (size_t i = 0; i < ids.size(); ++i)
      if (mask[i] == live) next_id(ids[i]);
  };
}

TEST(NoKindLeaks, FromALaterTarget) {
  const std::vector<int64_t> positions = {4, 1};
  for (const std::string& kind : kinds())
    for (const Variant& variant : kWithDecoder)
      for (const int ranks : {1, 2}) {
        RunSetting setting = setting_of(variant, kind);
        setting.gradients = false;
        SCOPED_TRACE(fmt::format("{}, structure {}, {} ranks", kind, static_cast<int>(variant.structure), ranks));
        const int64_t length = setting.shape.target_length, vocab = setting.config.padded_vocab;
        const std::vector<Outputs> runs =
            run(setting, ranks, {later_targets(positions[0], length), later_targets(positions[1], length)});
        const std::vector<double>& before = runs[0].at("logits");
        for (size_t change = 0; change < positions.size(); ++change) {
          const std::vector<double>& after = runs[change + 1].at("logits");
          ASSERT_EQ(after.size(), before.size());
          int changed = 0;
          for (size_t i = 0; i < before.size(); ++i) {
            if (static_cast<int64_t>(i) / vocab % length >= positions[change])
              changed += after[i] != before[i] ? 1 : 0;
            else
              ASSERT_EQ(after[i], before[i]) << "a logit before position " << positions[change];
          }
          EXPECT_GT(changed, 0) << "nothing depends on the targets";
        }
      }
}

TEST(NoKindLeaks, FromAPaddedInput) {
  for (const std::string& kind : kinds())
    for (const Variant& variant : kWithEncoder)
      for (const int ranks : {1, 2}) {
        const RunSetting setting = setting_of(variant, kind);
        SCOPED_TRACE(fmt::format("{}, structure {}, {} ranks", kind, static_cast<int>(variant.structure), ranks));
        const std::vector<Outputs> runs = run(setting, ranks, {inputs_of(0), inputs_of(1)});
        for (const auto& [name, values] : runs[0]) EXPECT_EQ(runs[1].at(name), values) << name;
        EXPECT_NE(runs[2].at("logits"), runs[0].at("logits")) << "no input is seen";
      }
}

}  // namespace
}  // namespace synthesizer
