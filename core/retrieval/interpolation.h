// Interpolates a language model with the nearest neighbours of its states (kNN-LM, arXiv 1911.00172):
//   p(y) = lambda * p_neighbours(y) + (1 - lambda) * p_model(y),
//   p_neighbours(y) = sum over neighbours i followed by y of softmax(-d_i^2 / temperature)_i
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace moe {

// The scored tokens of a text with their neighbours, nearest first.
struct TokenNeighbours {
  int64_t k = 0;
  std::vector<float> distances{};    // (tokens, k): squared, infinite for none
  std::vector<int32_t> followers{};  // (tokens, k): the token after each neighbour
  std::vector<int32_t> targets{};    // (tokens): the token that followed
  std::vector<float> nats{};         // (tokens): the model's -ln p of it
  std::vector<int64_t> positions{};  // (tokens)

  int64_t size() const { return static_cast<int64_t>(targets.size()); }
};

struct Interpolation {
  int64_t k = 0;  // neighbours
  double lambda = 0, temperature = 1;
};

// (tokens): ln p_neighbours of each target, from its first k neighbours; -inf where none of them is followed by it. In
// f64, with the logarithms of sums of exponentials.
std::vector<double> neighbour_logs(const TokenNeighbours& tokens, int64_t k, double temperature);

// -ln of the interpolated probability. lambda = 0 returns `nats` itself.
double interpolated(double nats, double neighbour_log, double lambda);
// (tokens): the same of each target.
std::vector<double> interpolated_nats(const TokenNeighbours& tokens, const Interpolation& with);

// The lambda in [0, 1] with the least mean of interpolated(), which is convex in it. `logs`: of neighbour_logs().
double best_lambda(std::span<const float> nats, std::span<const double> logs);

struct TunedInterpolation {
  Interpolation best;
  double nats = 0;        // mean with it
  double model_nats = 0;  // mean of the model alone
};
// The best of these numbers of neighbours (at most tokens.k each) with the best temperature and lambda: a grid of
// powers of two around the median distance, refined by golden section. Deterministic.
TunedInterpolation tune(const TokenNeighbours& tokens, std::span<const int64_t> ks);

}  // namespace moe
