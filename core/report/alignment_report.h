// Alignments as files to look at: a histogram for each self-attention that overlays the models, a heatmap by head for
// each model, both as SVG and as CSV, and a page that shows them all.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/report/layer_alignment.h"

namespace synthesizer {

// A model at one moment.
struct AlignmentSample {
  std::string run;     // "quickstart"
  std::string moment;  // "step 3000"
  bool initial = false;
  size_t color = 0;  // samples of one run have the same
  std::vector<LayerAlignment> layers;
};
// So many colours can be told apart.
inline constexpr size_t kSampleColors = 6;

struct AlignmentReport {
  std::vector<std::string> about;  // a line each: models, text, what there is no alignment of
  std::vector<AlignmentSample> samples;
};

// Into a folder that is there:
//   histogram_encoder_layer_1.svg, .csv       columns low, high (the bin), then the counts of each sample
//   heatmap_encoder_layer_1_RUN_MOMENT.svg, .csv   columns head, query, then the weight of each key; a row a live query
//   index.html                                shows the pictures, which lie beside it
// Heads, queries, keys and layers are counted from 1; numbers have nine digits. Throws Error if the disk does not take
// them, or if two samples have the same run and moment.
void write_alignment_report(const std::filesystem::path& folder, const AlignmentReport& report);

}  // namespace synthesizer
