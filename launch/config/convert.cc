#include "launch/config/convert.h"

#include <numeric>

#include "core/base/error.h"
#include "launch/config/check.h"

namespace synthesizer {
namespace {

Structure structure(config::Model::Structure structure) {
  switch (structure) {
    case config::Model::ENCODER_DECODER:
      return Structure::kEncoderDecoder;
    case config::Model::DECODER:
      return Structure::kDecoder;
    case config::Model::ENCODER_CLASSIFIER:
      return Structure::kEncoderClassifier;
  }
  fail("model.structure {} is not known", static_cast<int>(structure));
}

Mixture mixture(config::Stack::Mixture mixture) {
  switch (mixture) {
    case config::Stack::SOFTMAX:
      return Mixture::kSoftmax;
    case config::Stack::SIGMOID:
      return Mixture::kSigmoid;
    case config::Stack::SUM:
      return Mixture::kSum;
  }
  fail("mixture {} is not known", static_cast<int>(mixture));
}

RandomInit random_init(config::Stack::RandomInit init) {
  switch (init) {
    case config::Stack::GLOROT:
      return RandomInit::kGlorot;
    case config::Stack::XAVIER:
      return RandomInit::kXavier;
    case config::Stack::NORMAL:
      return RandomInit::kNormal;
  }
  fail("random_init {} is not known", static_cast<int>(init));
}

ScheduleKind schedule_kind(config::Schedule::Kind kind) {
  switch (kind) {
    case config::Schedule::RSQRT:
      return ScheduleKind::kRsqrt;
    case config::Schedule::CONSTANT:
      return ScheduleKind::kConstant;
    case config::Schedule::LINEAR:
      return ScheduleKind::kLinear;
    case config::Schedule::COSINE:
      return ScheduleKind::kCosine;
    case config::Schedule::INVERSE_SQRT:
      return ScheduleKind::kInverseSqrt;
  }
  fail("schedule.kind {} is not known", static_cast<int>(kind));
}

// A multiple of the shards' own and of the ranks that the vocabulary is split over.
int64_t padded_vocab(const config::Run& run, const Vocabulary& vocabulary) {
  const int64_t ranks = run_layout(run).axis("vocab") == "tensor" ? run.parallel().mesh().tensor() : 1;
  const int64_t multiple = std::lcm(int64_t{Vocabulary::kMultiple}, ranks);
  return (vocabulary.size() + multiple - 1) / multiple * multiple;
}

}  // namespace

AttentionConfig attention_config(const config::Stack& stack, int64_t max_length) {
  AttentionConfig attention;
  attention.kind = stack.attention();
  attention.max_length = max_length;
  attention.factor_rank = stack.factor_rank();
  attention.factor_a = stack.factor_a();
  attention.mixture = mixture(stack.mixture());
  const bool each_head = stack.mixture_scope() == config::Stack::EACH_HEAD;
  attention.mixture_scope = each_head ? MixtureScope::kHead : MixtureScope::kLayer;
  attention.random_init = random_init(stack.random_init());
  attention.dense_width = stack.dense_width() == config::Stack::MODEL ? DenseWidth::kModel : DenseWidth::kHead;
  attention.share_query = stack.share_query();
  attention.share_across_heads = stack.share_across_heads();
  attention.dense_bias = stack.dense_bias();
  attention.tie_key_value = stack.tie_key_value();
  attention.bottleneck = stack.bottleneck();
  attention.filter_width = stack.filter_width();
  attention.conv_heads = stack.conv_heads();
  attention.scale = stack.scale();
  return attention;
}

ModelConfig model_config(const config::Run& run, const Vocabulary& vocabulary) {
  const config::Model& from = run.model();
  if (from.vocab_size() != 0 && from.vocab_size() < vocabulary.size())
    fail_usage(
        "model.vocab_size: got {}, expected at least the {} pieces and {} sentinels of the shards' tokenizer, or 0",
        from.vocab_size(), vocabulary.pieces, vocabulary.sentinels);
  ModelConfig model;
  model.structure = structure(from.structure());
  model.vocab = vocabulary.size();
  model.padded_vocab = from.vocab_size() != 0 ? from.vocab_size() : padded_vocab(run, vocabulary);
  model.d_model = from.d_model();
  model.d_ff = from.d_ff();
  model.num_heads = from.num_heads();
  model.d_head = from.d_head();
  model.encoder_layers = from.encoder().layers();
  model.decoder_layers = from.decoder().layers();
  model.encoder = attention_config(from.encoder(), from.max_length());
  model.decoder = attention_config(from.decoder(), from.max_length());
  model.relative_bias = from.relative_bias();
  model.num_buckets = from.num_buckets();
  model.max_distance = from.max_distance();
  model.gated_gelu = from.ffn() == config::Model::GATED_GELU;
  model.tie_output = from.tie_output();
  model.universal = from.universal();
  const bool by_row = from.packed_positions() == config::Model::ROW;
  model.packed_positions = by_row ? PackedPositions::kRow : PackedPositions::kDocument;
  model.num_classes = from.num_classes();
  model.norm_eps = from.norm_eps();
  model.dropout = run.dropout();
  model.dropout_broadcast = from.dropout_broadcast();
  return model;
}

ObjectiveOptions objective_options(const config::Data& data) {
  ObjectiveOptions options;
  options.kind = data.objective() == config::Data::CAUSAL ? ObjectiveKind::kCausal : ObjectiveKind::kSpanDenoising;
  options.input_length = data.input_length();
  options.target_length = data.target_length();
  options.noise_density = data.noise_density();
  options.mean_span_length = data.mean_span_length();
  options.sentinels = data.sentinels();
  options.packed = data.packing() == config::Data::DOCUMENTS;
  return options;
}

OptimizerConfig optimizer_config(const config::Run& run) {
  const config::Optimizer& from = run.optimizer();
  OptimizerConfig optimizer;
  optimizer.kind = from.kind() == config::Optimizer::ADAMW ? OptimizerKind::kAdamW : OptimizerKind::kAdafactor;
  optimizer.adamw = {from.beta1(), from.beta2(), from.epsilon(), from.weight_decay()};
  optimizer.adafactor.decay_exponent = -from.decay_exponent();
  optimizer.adafactor.epsilon1 = from.epsilon_square();
  optimizer.adafactor.epsilon2 = from.epsilon_scale();
  optimizer.adafactor.clip_threshold = from.clip_threshold();
  optimizer.adafactor.min_factored = from.min_factored_size();
  optimizer.clip_norm = run.clip_norm();
  optimizer.in_parts = run.parallel().zero() > 0;
  return optimizer;
}

ScheduleConfig schedule_config(const config::Run& run) {
  const config::Schedule& from = run.schedule();
  ScheduleConfig schedule;
  schedule.kind = schedule_kind(from.kind());
  schedule.rate = from.learning_rate();
  schedule.warmup = from.warmup();
  schedule.end = from.end();
  schedule.decay_steps = from.decay_steps() != 0 ? from.decay_steps() : run.steps();
  schedule.decay_fraction = from.decay_fraction();
  return schedule;
}

Recompute recompute_choice(config::Run::Recompute recompute) {
  switch (recompute) {
    case config::Run::NONE:
      return Recompute::kNone;
    case config::Run::ATTENTION:
      return Recompute::kAttention;
    case config::Run::BLOCK:
      return Recompute::kBlock;
  }
  fail("recompute {} is not known", static_cast<int>(recompute));
}

LossConfig loss_config(const config::Run& run) { return {run.z_loss(), run.label_smoothing()}; }

DType run_dtype(const config::Run& run) {
  return run.precision() == config::Run::FP64 ? DType::kFloat64 : DType::kFloat32;
}

}  // namespace synthesizer
