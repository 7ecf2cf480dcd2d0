// The optimizers' graphs, run for several steps, against the papers' algorithms written out in double.
#include "core/optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/graph/leaf.h"
#include "core/graph/program.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace synthesizer {
namespace {

using Numbers = std::vector<double>;

// A step on parameters whose gradients are given as inputs: loss = Σ parameter·gradient.
struct UpdateRun {
  UpdateRun(const std::vector<Shape>& shapes, const OptimizerConfig& config) {
    std::vector<Value> parameters, gradients;
    Value loss;
    for (size_t i = 0; i < shapes.size(); ++i) {
      const std::string name = "p" + std::to_string(i);
      parameters.push_back(parameter(graph, name, DType::kFloat64, shapes[i], Initializer::normal(0.5)));
      gradients.push_back(input(graph, "g" + std::to_string(i), DType::kFloat64, shapes[i]));
      const Value term = reduce_sum(parameters.back() * gradients.back(), shapes[i].names());
      loss = loss ? loss + term : term;
    }
    const Value step = input(graph, "step", DType::kInt64, {});
    const UpdateResult result = add_update(graph, parameters, gradients, loss, step, config);
    graph.mark_output("norm", result.gradient_norm);
    graph.mark_output("finite", result.finite);
    store = std::make_unique<StateStore>(graph);
    store->initialize(3);
    program = std::make_unique<Program>(graph, kernels, AxisCommunicators{}, *store);
  }

  Numbers values(const std::string& name) const {
    const StateTensor& tensor = store->at(name);
    const auto* data = reinterpret_cast<const double*>(tensor.data);
    return {data, data + tensor.type.shape.elements()};
  }

  void step(int64_t index, double rate, const std::vector<Numbers>& gradients) {
    for (size_t i = 0; i < gradients.size(); ++i)
      std::copy(gradients[i].begin(), gradients[i].end(), program->input<double>("g" + std::to_string(i)).begin());
    program->input<int64_t>("step")[0] = index;
    program->input<double>(kLearningRate)[0] = rate;
    if (program->has_input(kSecondMomentDecay))
      program->input<double>(kSecondMomentDecay)[0] = second_moment_decay({}, index);
    program->run();
  }

  CpuKernelTable kernels{1};
  Graph graph;
  std::unique_ptr<StateStore> store;
  std::unique_ptr<Program> program;
};

Numbers random_numbers(int64_t count, uint32_t seed, double scale) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, scale);
  Numbers numbers(static_cast<size_t>(count));
  for (double& x : numbers) x = normal(random);
  return numbers;
}

double mean_square(const Numbers& x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return sum / static_cast<double>(x.size());
}

void expect_near(const Numbers& a, const Numbers& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  double largest = 0, difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(b[i]));
    difference = std::max(difference, std::abs(a[i] - b[i]));
  }
  EXPECT_LE(difference, tolerance * largest);
}

// Algorithm 4 (factored over rows × columns, `heads` such matrices one after the other) or, for rows == 1, the plain
// form.
struct NaiveAdafactor {
  int64_t heads, rows, columns;
  bool factored;
  Numbers row, column, whole;

  void step(Numbers& p, const Numbers& g, int64_t t, double rate) {
    const double decay = 1 - std::pow(static_cast<double>(t) + 1, -0.8);
    const size_t size = p.size();
    row.resize(static_cast<size_t>(heads * rows));
    column.resize(static_cast<size_t>(heads * columns));
    whole.resize(size);
    Numbers direction(size);
    for (int64_t h = 0; h < heads; ++h) {
      const auto at = [&](int64_t i, int64_t j) { return static_cast<size_t>((h * rows + i) * columns + j); };
      double row_mean = 0;
      for (int64_t i = 0; i < rows; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < columns; ++j) sum += g[at(i, j)] * g[at(i, j)] + 1e-30;
        double& r = row[static_cast<size_t>(h * rows + i)];
        r = decay * r + (1 - decay) * sum / static_cast<double>(columns);
        row_mean += r / static_cast<double>(rows);
      }
      for (int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (int64_t i = 0; i < rows; ++i) sum += g[at(i, j)] * g[at(i, j)] + 1e-30;
        double& c = column[static_cast<size_t>(h * columns + j)];
        c = decay * c + (1 - decay) * sum / static_cast<double>(rows);
      }
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) {
          double& v = whole[at(i, j)];
          v = decay * v + (1 - decay) * (g[at(i, j)] * g[at(i, j)] + 1e-30);
          const double second = factored ? row[static_cast<size_t>(h * rows + i)] *
                                               column[static_cast<size_t>(h * columns + j)] / row_mean
                                         : v;
          direction[at(i, j)] = g[at(i, j)] / std::sqrt(second);
        }
    }
    const double clip = std::max(1.0, std::sqrt(mean_square(direction)));
    const double scale = rate * std::max(1e-3, std::sqrt(mean_square(p))) / clip;
    for (size_t i = 0; i < size; ++i) p[i] -= scale * direction[i];
  }
};

TEST(Optimizer, AdafactorFollowsThePaperFactoredAndNot) {
  const std::vector<Shape> shapes = {{kModel(160), kHeads(3), kHead(50)},                // 160 × 150
                                     {kHeads(2), kPosition(130), kMemoryPosition(130)},  // each head 130 × 130
                                     {kModel(160), kFf(4)},                              // too small to factor
                                     {kBuckets(32), kHeads(4)}};
  std::vector<NaiveAdafactor> naive = {{1, 160, 150, true, {}, {}, {}},
                                       {2, 130, 130, true, {}, {}, {}},
                                       {1, 1, 640, false, {}, {}, {}},
                                       {1, 1, 128, false, {}, {}, {}}};
  OptimizerConfig config;
  config.kind = OptimizerKind::kAdafactor;
  UpdateRun run(shapes, config);
  EXPECT_EQ(run.store->find("p0.adafactor.second"), nullptr);
  EXPECT_EQ(run.store->at("p1.adafactor.row").type.shape, (Shape{kHeads(2), kPosition(130)}));
  EXPECT_NE(run.store->find("p2.adafactor.second"), nullptr);
  std::vector<Numbers> parameters;
  for (size_t i = 0; i < shapes.size(); ++i) parameters.push_back(run.values("p" + std::to_string(i)));
  for (int64_t step = 0; step < 5; ++step) {
    std::vector<Numbers> gradients;
    for (size_t i = 0; i < shapes.size(); ++i) {
      gradients.push_back(random_numbers(shapes[i].elements(), static_cast<uint32_t>(10 * step + i), 0.1 * (i + 1.0)));
      naive[i].step(parameters[i], gradients[i], step, 0.01);
    }
    run.step(step, 0.01, gradients);
    EXPECT_EQ(run.program->output<double>("finite")[0], 1);
  }
  for (size_t i = 0; i < shapes.size(); ++i) expect_near(run.values("p" + std::to_string(i)), parameters[i], 1e-12);
}

TEST(Optimizer, AdamWFollowsThePaperAndClipsByTheGlobalNorm) {
  const std::vector<Shape> shapes = {{kModel(33)}, {kModel(7), kFf(31)}};
  OptimizerConfig config;
  config.kind = OptimizerKind::kAdamW;
  config.adamw = {0.9, 0.98, 1e-9, 0.01};
  config.clip_norm = 0.5;
  UpdateRun run(shapes, config);
  std::vector<Numbers> p, m(2), v(2);
  for (size_t i = 0; i < 2; ++i) {
    p.push_back(run.values("p" + std::to_string(i)));
    m[i].resize(p[i].size());
    v[i].resize(p[i].size());
  }
  for (int64_t step = 0; step < 4; ++step) {
    const double size = step == 2 ? 1e-3 : 1.0;  // once below the clipping norm
    const std::vector<Numbers> g = {random_numbers(33, static_cast<uint32_t>(step), size),
                                    random_numbers(217, static_cast<uint32_t>(50 + step), size)};
    const double norm = std::sqrt(mean_square(g[0]) * 33 + mean_square(g[1]) * 217);
    const double scale = std::min(1.0, 0.5 / norm), t = static_cast<double>(step) + 1;
    run.step(step, 0.01, g);
    EXPECT_NEAR(run.program->output<double>("norm")[0], norm, 1e-12 * norm);
    for (size_t i = 0; i < 2; ++i)
      for (size_t k = 0; k < p[i].size(); ++k) {
        const double x = scale * g[i][k];
        m[i][k] = 0.9 * m[i][k] + 0.1 * x;
        v[i][k] = 0.98 * v[i][k] + 0.02 * x * x;
        const double hat = m[i][k] / (1 - std::pow(0.9, t));
        p[i][k] -= 0.01 * (hat / (std::sqrt(v[i][k] / (1 - std::pow(0.98, t))) + 1e-9) + 0.01 * p[i][k]);
      }
  }
  for (size_t i = 0; i < 2; ++i) expect_near(run.values("p" + std::to_string(i)), p[i], 1e-12);
}

TEST(Optimizer, AStepThatIsNotFiniteChangesNothing) {
  for (const OptimizerKind kind : {OptimizerKind::kAdamW, OptimizerKind::kAdafactor}) {
    const std::vector<Shape> shapes = {{kModel(130), kFf(130)}, {kModel(9)}};
    OptimizerConfig config;
    config.kind = kind;
    config.clip_norm = 1;
    UpdateRun run(shapes, config);
    std::vector<Numbers> g = {random_numbers(130 * 130, 1, 1), random_numbers(9, 2, 1)};
    run.step(0, 0.1, g);
    std::vector<Numbers> before;
    for (const StateTensor& tensor : run.store->tensors()) before.push_back(run.values(tensor.name));
    g[1][4] = std::numeric_limits<double>::quiet_NaN();
    run.step(1, 0.1, g);
    EXPECT_EQ(run.program->output<double>("finite")[0], 0);
    g[1][4] = std::numeric_limits<double>::infinity();
    run.step(1, 0.1, g);
    for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(run.values(run.store->tensors()[i].name), before[i]);
  }
}

}  // namespace
}  // namespace synthesizer
