// Matrices as pictures, one beside the other on one scale of colours: SVG, as chart.h's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace synthesizer {

struct HeatmapPanel {
  std::string title;
  std::span<const double> values;  // rows × columns
};

struct Heatmap {
  std::string title, x_label, y_label, scale_label;
  int64_t rows = 0, columns = 0;  // of each panel; counted from 1 at the axes, row 1 at the top
  std::vector<HeatmapPanel> panels;
  // Colours are spread over the logarithm from `low` to `high`; what is beyond has the colour of the end.
  double low = 1e-4, high = 1;
};

// Large matrices are drawn in square blocks, each in the colour of its mean; the title says so.
std::string heatmap_svg(const Heatmap& heatmap);

// "#rrggbb" for a share of 0 (white) to 1 (near black): D. A. Green's cubehelix (Bulletin of the Astronomical Society
// of India 39, 2011), whose perceived brightness falls steadily, so that it reads in grey too.
std::string heat_color(double share);

}  // namespace synthesizer
