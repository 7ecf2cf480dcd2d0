#include "core/model/model.h"

#include <cmath>

#include "core/attention/table.h"
#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/model/blocks.h"
#include "core/model/encoder_classifier.h"
#include "core/model/encoder_decoder.h"
#include "core/model/output.h"

namespace synthesizer {
namespace {

void check_size(std::string_view field, int64_t value, int64_t least) {
  if (value < least) fail_usage("[model] {}: got {}, expected at least {}", field, value, least);
}

ModelInputs add_inputs(Graph& graph, const ModelConfig& config, const BatchShape& shape, const ModelOptions& options) {
  const Dim batch = kBatch(shape.batch);
  const bool classifier = config.structure == Structure::kEncoderClassifier;
  const Shape target = classifier ? Shape{batch} : Shape{batch, kLength(shape.target_length)};
  const bool positions = options.packed && config.packed_positions == PackedPositions::kDocument;
  const auto ids = [&](const char* name, int64_t length) {
    return input(graph, name, DType::kInt32, {batch, kLength(length)});
  };
  ModelInputs in;
  if (config.structure != Structure::kDecoder) {
    in.inputs = ids("inputs", shape.source_length);
    if (options.packed) in.input_segments = ids("input_segments", shape.source_length);
    if (positions) in.input_positions = ids("input_positions", shape.source_length);
    if (options.input_mask && !options.packed)
      in.input_mask = input(graph, "input_mask", DType::kInt32, {batch, kMemoryLength(shape.source_length)});
  }
  if (!classifier) {
    in.decoder_inputs = ids("decoder_inputs", shape.target_length);
    if (options.packed) in.target_segments = ids("target_segments", shape.target_length);
    if (positions) in.target_positions = ids("target_positions", shape.target_length);
  }
  if (options.loss) {
    in.targets = input(graph, "targets", DType::kInt32, target);
    in.weights = input(graph, "weights", options.dtype, target);
    in.denominator = input(graph, "denominator", options.dtype, {});
  }
  if (options.mode == Mode::kTrain) in.step = input(graph, "step", DType::kInt64, {});
  if (options.next_logits) in.position = input(graph, "position", DType::kInt64, {});
  return in;
}

}  // namespace

void check_model(const ModelConfig& config) {
  check_size("vocab", config.vocab, 1);
  if (config.rows() < config.vocab)
    fail_usage("[model] padded_vocab: got {}, expected at least vocab {}", config.rows(), config.vocab);
  check_size("d_model", config.d_model, 1);
  check_size("d_ff", config.d_ff, 1);
  check_size("num_heads", config.num_heads, 1);
  check_size("d_head", config.d_head, 1);
  if (config.relative_bias) {
    check_size("num_buckets", config.num_buckets, 4);
    if (config.max_distance <= config.num_buckets / 2)
      fail_usage("[model] max_distance: got {}, expected above half of num_buckets {}", config.max_distance,
                 config.num_buckets);
  }
  if (!(config.dropout >= 0 && config.dropout < 1))
    fail_usage("[model] dropout: got {}, expected 0 <= dropout < 1", config.dropout);
  if (config.structure != Structure::kDecoder) {
    check_size("encoder_layers", config.encoder_layers, 1);
    check_self_attention(config.encoder, attention_sizes(config), false, "encoder.attention");
  }
  if (config.structure != Structure::kEncoderClassifier) {
    check_size("decoder_layers", config.decoder_layers, 1);
    check_self_attention(config.decoder, attention_sizes(config), true, "decoder.attention");
  } else {
    check_size("num_classes", config.num_classes, 2);
  }
}

Model build_model(Graph& graph, const ModelConfig& config, const BatchShape& shape, const LossConfig& loss,
                  const ModelOptions& options) {
  check_model(config);
  CHECK(!options.bfloat16 || options.dtype == DType::kFloat32, "activations in bf16 beside parameters in {}",
        to_string(options.dtype));
  if (options.next_logits && config.structure == Structure::kEncoderClassifier)
    fail_usage("[model] next_logits: got a classifier, expected a structure that has a next token");
  if (options.packed && config.structure == Structure::kEncoderClassifier)
    fail_usage("[model] packed rows: got a classifier, expected a structure that has a target for each document");
  Model model;
  model.inputs = add_inputs(graph, config, shape, options);
  const bool train = options.mode == Mode::kTrain;
  const DType activations = options.bfloat16 ? DType::kBFloat16 : options.dtype;
  // A classifier's gradient comes from a few examples, over which rounding does not average out.
  const bool classifier = config.structure == Structure::kEncoderClassifier;
  const BuildContext context{.graph = &graph,
                             .dtype = options.dtype,
                             .activations = activations,
                             .residual = classifier ? options.dtype : activations,
                             .dropout = train ? config.dropout : 0,
                             .dropout_broadcast = config.dropout_broadcast,
                             .seed = options.seed,
                             .step = model.inputs.step,
                             .fused = options.fused,
                             .alignments = options.alignments};
  const Scope scope(context);
  const Value table = embedding_table(scope, config);
  const LossConfig counted = train ? loss : LossConfig{};
  if (classifier) {
    model.outputs = encode_classify(scope, config, table, model.inputs, counted, options);
    return model;
  }
  const Value x = config.structure == Structure::kEncoderDecoder ? encode_decode(scope, config, table, model.inputs)
                                                                 : decode(scope, config, table, model.inputs);
  model.outputs = add_outputs(scope, config, table, x, model.inputs, counted, options);
  return model;
}

int64_t count_parameters(const Graph& graph) {
  int64_t elements = 0;
  for (const Node& node : graph.nodes()) {
    const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
    if (leaf && leaf->kind() == Leaf::Kind::kParameter) elements += leaf->block().whole.elements();
  }
  return elements;
}

}  // namespace synthesizer
