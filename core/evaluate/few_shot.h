// Few-shot transfer: how well a linear classifier does that sees a few labelled samples of each class through a frozen
// model. It is ridge regression from the features to the classes, in closed form, as in the evaluations of sparse
// vision models (Riquelme et al., 2021, arXiv 2106.05974; Mustafa et al., 2022, arXiv 2206.02770), so no training noise
// is added to the comparison of two models.
#pragma once
#include <cstdint>
#include <vector>

#include "core/evaluate/sample_features.h"

namespace moe {

struct FewShotOptions {
  std::vector<int64_t> labels{1, 5, 10};  // numbers of labelled samples per class
  int64_t draws = 20;                     // of the labelled samples
  uint64_t seed = 1;                      // of the draws
  // Candidates for the penalty, relative to the mean squared norm of the centred features.
  std::vector<double> ridges{1e-4, 1e-3, 1e-2, 1e-1, 1, 10};
};

// The result for a number of labels.
struct FewShotAccuracy {
  int64_t labels = 0;
  double ridge = 0;                // the candidate with the highest mean accuracy on the validation samples
  std::vector<double> accuracies;  // on the test samples, for each draw

  double mean() const;
};

// The drawn samples of each class, those of the first class first: `count` per class. They depend only on the labels,
// seed and draw, and those of a smaller count are among those of a larger one, so that models are compared on the same
// samples. Throws DataError for a class with fewer samples.
std::vector<int64_t> draw_few(const std::vector<int32_t>& labels, int64_t classes, int64_t count, uint64_t seed,
                              int64_t draw);

// All samples that few_shot() draws, in ascending order.
std::vector<int64_t> all_drawn(const std::vector<int32_t>& labels, int64_t classes, const FewShotOptions& options);

// Weights (width + 1, classes), row by row, of ridge regression from the features of `members` to indicators of their
// classes; the last row is the constant. ridge > 0, relative as in FewShotOptions.
std::vector<double> fit_ridge(const SampleFeatures& features, const std::vector<int64_t>& members, int64_t classes,
                              double ridge);
// The share of samples whose class has the largest value; among equal ones the lowest class counts.
double linear_accuracy(const SampleFeatures& features, const std::vector<double>& weights, int64_t classes);

// Samples are drawn from `train`, whose other samples' rows are not read. All sets have the same width.
std::vector<FewShotAccuracy> few_shot(const SampleFeatures& train, const SampleFeatures& validation,
                                      const SampleFeatures& test, int64_t classes, const FewShotOptions& options);

}  // namespace moe
