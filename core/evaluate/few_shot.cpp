#include "core/evaluate/few_shot.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/philox.h"

namespace moe {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using FloatRows = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

double FewShotAccuracy::mean() const {
  return std::accumulate(accuracies.begin(), accuracies.end(), 0.0) / static_cast<double>(accuracies.size());
}

std::vector<int64_t> draw_few(const std::vector<int32_t>& labels, int64_t classes, int64_t count, uint64_t seed,
                              int64_t draw) {
  // The samples of a class with the smallest random numbers.
  std::vector<std::vector<std::pair<uint64_t, int64_t>>> of_class(as_index(classes));
  const RandomKey key{seed, RandomPurpose::few_shot, 0, static_cast<uint64_t>(draw)};
  for (size_t i = 0; i < labels.size(); ++i) {
    of_class.at(as_index(labels[i])).emplace_back(key.bits(i), static_cast<int64_t>(i));
  }
  std::vector<int64_t> members;
  for (size_t c = 0; c < of_class.size(); ++c) {
    if (std::ssize(of_class[c]) < count) {
      raise<DataError>("class {} has {} training samples, of which {} cannot be drawn", c, of_class[c].size(), count);
    }
    std::partial_sort(of_class[c].begin(), of_class[c].begin() + count, of_class[c].end());
    for (int64_t i = 0; i < count; ++i) members.push_back(of_class[c][as_index(i)].second);
  }
  return members;
}

std::vector<int64_t> all_drawn(const std::vector<int32_t>& labels, int64_t classes, const FewShotOptions& options) {
  const int64_t most = *std::max_element(options.labels.begin(), options.labels.end());
  std::set<int64_t> all;
  for (int64_t draw = 0; draw < options.draws; ++draw) {
    const std::vector<int64_t> members = draw_few(labels, classes, most, options.seed, draw);
    all.insert(members.begin(), members.end());
  }
  return {all.begin(), all.end()};
}

std::vector<double> fit_ridge(const SampleFeatures& features, const std::vector<int64_t>& members, int64_t classes,
                              double ridge) {
  const int64_t n = std::ssize(members), width = features.width;
  const FloatRows all(features.rows.data(), features.samples(), width);
  Matrix x(n, width), y = Matrix::Zero(n, classes);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t sample = members[as_index(i)];
    x.row(i) = all.row(sample).cast<double>();
    y(i, features.labels[as_index(sample)]) = 1;
  }
  const Eigen::RowVectorXd x_mean = x.colwise().mean(), y_mean = y.colwise().mean();
  x.rowwise() -= x_mean;
  y.rowwise() -= y_mean;
  // One sample, or equal ones, have no spread: any penalty then gives weights of 0.
  const double penalty = std::max(ridge * x.squaredNorm() / static_cast<double>(n), 1e-30);
  Matrix weights;  // (width, classes), from the smaller one of the two forms of the normal equations
  if (n <= width) {
    Eigen::MatrixXd kernel = x * x.transpose();
    kernel.diagonal().array() += penalty;
    weights = x.transpose() * kernel.llt().solve(y);
  } else {
    Eigen::MatrixXd covariance = x.transpose() * x;
    covariance.diagonal().array() += penalty;
    weights = covariance.llt().solve(x.transpose() * y);
  }
  Matrix result(width + 1, classes);
  result.topRows(width) = weights;
  result.row(width) = y_mean - x_mean * weights;
  return {result.data(), result.data() + result.size()};
}

double linear_accuracy(const SampleFeatures& features, const std::vector<double>& weights, int64_t classes) {
  constexpr int64_t kRows = 1024;  // at a time
  const FloatRows x(features.rows.data(), features.samples(), features.width);
  const Eigen::Map<const Matrix> w(weights.data(), features.width + 1, classes);
  int64_t correct = 0;
  for (int64_t begin = 0; begin < features.samples(); begin += kRows) {
    const int64_t count = std::min(kRows, features.samples() - begin);
    Matrix scores = x.middleRows(begin, count).cast<double>() * w.topRows(features.width);
    scores.rowwise() += w.row(features.width);
    for (int64_t i = 0; i < count; ++i) {
      const double* row = scores.row(i).data();
      correct += std::max_element(row, row + classes) - row == features.labels[as_index(begin + i)];
    }
  }
  return static_cast<double>(correct) / static_cast<double>(features.samples());
}

std::vector<FewShotAccuracy> few_shot(const SampleFeatures& train, const SampleFeatures& validation,
                                      const SampleFeatures& test, int64_t classes, const FewShotOptions& options) {
  std::vector<FewShotAccuracy> results;
  for (const int64_t labels : options.labels) {
    std::vector<std::vector<int64_t>> drawn;
    for (int64_t draw = 0; draw < options.draws; ++draw)
      drawn.push_back(draw_few(train.labels, classes, labels, options.seed, draw));
    FewShotAccuracy result{labels, options.ridges.front(), {}};
    double best = -1;
    for (const double ridge : options.ridges) {
      double sum = 0;
      for (const auto& members : drawn)
        sum += linear_accuracy(validation, fit_ridge(train, members, classes, ridge), classes);
      if (sum > best) best = sum, result.ridge = ridge;
    }
    for (const auto& members : drawn)
      result.accuracies.push_back(linear_accuracy(test, fit_ridge(train, members, classes, result.ridge), classes));
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace moe
