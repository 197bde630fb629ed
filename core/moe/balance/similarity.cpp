// Similarity of the experts: the mean over pairs of max(0, cos(m_i, m_j) - threshold), where m_i is the mean output of
// expert i over the tokens that chose it. A pair in which an expert has no tokens contributes 0. This measure is our
// own choice; the literature has many. It is 0 when the experts differ enough, and at most 1 - threshold.
#include <algorithm>
#include <cmath>

#include "comm/communicator.h"
#include "core/moe/balance_loss.h"
#include "core/ops/expert_output_sums.h"

namespace moe {
namespace {

struct Options : Fields<Options>, BalanceOptions {
  double threshold = 0;
  void fields(FieldVisitor& v) override {
    v.field("threshold", threshold, "cosine up to which a pair of experts is not penalised", {-1, 1});
    common_fields(v);
  }
};

// Sums: outputs per expert. The cosine between means equals the cosine between sums.
class SimilarityBalance : public BalanceLoss {
 public:
  SimilarityBalance(const Options& options, const Setup& setup)
      : BalanceLoss(options, setup),
        threshold_(options.threshold),
        n_(static_cast<size_t>(setup.experts)),
        d_(static_cast<size_t>(setup.d_model)),
        gradient_(n_ * d_) {}

  int64_t num_sums() const override { return static_cast<int64_t>(n_ * d_); }
  bool sees_outputs() const override { return true; }
  void add_sums(Context&, std::span<double>, const Routing&, ConstTensor) const override {}
  void backward(Context&, const Gradients&, const Routing&, ConstTensor, std::span<const double>,
                double) const override {}

  void add_output_sums(Context& ctx, std::span<double> sums, const Routing& routing, const ExpertOutputs& outputs,
                       ConstTensor targets) const override {
    expert_output_sums(ctx, matrix(sums), outputs.rows, outputs.position, routing.indices, targets);
  }

  double value(std::span<const double> sums) const override {
    double total = 0;
    for_each_pair(sums, [&](size_t, size_t, double cosine, double, double) { total += cosine - threshold_; });
    return total / num_pairs();
  }

  void output_backward(Context& ctx, Tensor d_rows, const Routing& routing, const ExpertOutputs& outputs,
                       ConstTensor targets, std::span<const double> sums, double factor) const override {
    std::fill(gradient_.begin(), gradient_.end(), 0.0);
    const double share = factor / num_pairs();
    for_each_pair(sums, [&](size_t i, size_t j, double cosine, double norm_i, double norm_j) {
      for (size_t c = 0; c < d_; ++c) {
        const double a = sums[i * d_ + c] / norm_i, b = sums[j * d_ + c] / norm_j;
        gradient_[i * d_ + c] += share * (b - cosine * a) / norm_i;
        gradient_[j * d_ + c] += share * (a - cosine * b) / norm_j;
      }
    });
    expert_output_sums_backward(ctx, d_rows, matrix(gradient_), outputs.position, routing.indices, targets);
  }

 private:
  Tensor matrix(std::span<double> sums) const {
    return as_tensor(sums).reshape(Shape{static_cast<int64_t>(n_), static_cast<int64_t>(d_)});
  }
  double num_pairs() const { return std::max(1.0, 0.5 * static_cast<double>(n_ * (n_ - 1))); }

  // Calls visit(i, j, cosine, |s_i|, |s_j|) for the pairs above the threshold.
  template <class Visit>
  void for_each_pair(std::span<const double> sums, Visit visit) const {
    const auto dot = [&](size_t i, size_t j) {
      double sum = 0;
      for (size_t c = 0; c < d_; ++c) sum += sums[i * d_ + c] * sums[j * d_ + c];
      return sum;
    };
    for (size_t i = 0; i < n_; ++i) {
      const double norm_i = std::sqrt(dot(i, i));
      for (size_t j = i + 1; j < n_ && norm_i > 0; ++j) {
        const double norm_j = std::sqrt(dot(j, j));
        if (norm_j == 0) continue;
        const double cosine = dot(i, j) / (norm_i * norm_j);
        if (cosine > threshold_) visit(i, j, cosine, norm_i, norm_j);
      }
    }
  }

  double threshold_;
  size_t n_, d_;
  mutable std::vector<double> gradient_;  // reused
};

}  // namespace

Member similarity_balance() {
  return member<BalanceLoss, SimilarityBalance, Options>(
      "similarity",
      "mean over pairs of experts of the amount by which the cosine of their mean outputs exceeds a threshold; 0 when "
      "they differ enough");
}

}  // namespace moe
