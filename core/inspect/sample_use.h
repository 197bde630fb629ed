// Which experts the classes and the patches of labelled samples use: of a spectrogram, the experts over time and
// frequency; of an image, over its rows and columns.
#pragma once
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/tasks/task.h"
#include "core/trace/step_trace.h"

namespace moe {

// Shares of the assignments of a class's tokens, or of the tokens at a place, by expert; 0 where there is none.
struct LayerUse {
  int64_t block = 0;
  std::vector<std::vector<double>> by_class;  // (classes, experts)
  std::vector<std::vector<double>>
      by_place;  // (rows * columns, experts), row by row; empty for samples without patches
};

struct SampleUse {
  std::vector<std::string> classes;
  std::optional<SampleGrid> grid;
  std::vector<LayerUse> layers;  // empty for samples without classes
};

// `trace`: with the labels of its tokens.
SampleUse sample_use(const StepTrace& trace, std::vector<std::string> classes, std::optional<SampleGrid> grid);

// The classes that each expert of the last layer gets most, for a terminal.
std::string sample_use_text(const SampleUse& use);
// Heat maps for the web page: classes x experts, and each expert over the places.
std::string class_use_section(const SampleUse& use);
std::string place_use_section(const SampleUse& use);
Json sample_use_json(const SampleUse& use);  // null without layers

}  // namespace moe
