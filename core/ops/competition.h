// Experts compete for tokens by the size of their response (CompeteSMoE: Pham et al., 2024).
#pragma once
#include "core/tensor/context.h"

namespace moe {

enum class Response {
  norm,      // the Euclidean norm
  softplus,  // the mean of softplus over the features
};

// indices (tokens, experts) i32: every token goes to every expert, slot e to expert e
void choose_all(Context& ctx, Tensor indices);

// rows (num_rows, d), outputs of experts -> scores (num_rows, 1)
void response_forward(Context& ctx, Tensor scores, ConstTensor rows, Response response);
// d_scores (num_rows, 1) -> d_rows (num_rows, d), added to. With Response::norm a row of zeros gets no gradient.
void response_backward(Context& ctx, Tensor d_rows, ConstTensor d_scores, ConstTensor scores, ConstTensor rows,
                       Response response);

// Each chosen expert's share of the sum of the chosen scores, which must not be negative: scores (tokens, experts),
// indices (tokens, k) i32 -> weights (tokens, k): s_i / sum_S s, or 1/k where all are 0
void share_weights_forward(Context& ctx, Tensor weights, ConstTensor scores, ConstTensor indices);
// d_weights (tokens, k) -> d_scores (tokens, experts), added to
void share_weights_backward(Context& ctx, Tensor d_scores, ConstTensor d_weights, ConstTensor scores,
                            ConstTensor weights, ConstTensor indices);

// values (tokens, k) -> all (tokens, experts), overwritten: the values in their experts' columns, zeros elsewhere
void spread_chosen(Context& ctx, Tensor all, ConstTensor values, ConstTensor indices);
// all (tokens, experts) -> values (tokens, k) of the chosen experts, 0 for an empty slot
void gather_chosen(Context& ctx, Tensor values, ConstTensor all, ConstTensor indices);

// Distillation loss of probabilities p (tokens, experts) with respect to targets q (tokens, experts): the sum over
// tokens, padding excluded, of mean_experts (p - q)^2 + chosen_weight * mean_S (p - q)^2, where S are the chosen
// experts (tokens, k). p is the softmax of logits.
void distillation_sum(Context& ctx, Tensor sum, ConstTensor p, ConstTensor q, ConstTensor indices, double chosen_weight,
                      ConstTensor targets);
// factor * gradient -> d_logits (the logits of p) and, if given, d_q; both (tokens, experts), added to
void distillation_backward(Context& ctx, Tensor d_logits, Tensor d_q, ConstTensor p, ConstTensor q, ConstTensor indices,
                           double chosen_weight, double factor, ConstTensor targets);

// Similarity of the outputs of a token's experts: the sum over tokens, padding excluded, of the mean over the k x k
// matrix of the outputs' cosines, with its diagonal set to 0. rows (num_rows, d), position (tokens, k) i32: -1 where a
// slot has no row; its cosines are 0.
void output_similarity_sum(Context& ctx, Tensor sum, ConstTensor rows, ConstTensor position, ConstTensor targets);
// factor * gradient -> d_rows (num_rows, d), added to
void output_similarity_backward(Context& ctx, Tensor d_rows, ConstTensor rows, ConstTensor position, double factor,
                                ConstTensor targets);

// Top-k overlap: the sum over tokens, padding excluded, of the share of a's choices (tokens, k) that b (tokens, m) also
// chose
void topk_overlap_sum(Context& ctx, Tensor sum, ConstTensor a, ConstTensor b, ConstTensor targets);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::choose_all) choose_all;
decltype(moe::response_forward) response_forward;
decltype(moe::response_backward) response_backward;
decltype(moe::share_weights_forward) share_weights_forward;
decltype(moe::share_weights_backward) share_weights_backward;
decltype(moe::spread_chosen) spread_chosen;
decltype(moe::gather_chosen) gather_chosen;
decltype(moe::distillation_sum) distillation_sum;
decltype(moe::distillation_backward) distillation_backward;
decltype(moe::output_similarity_sum) output_similarity_sum;
decltype(moe::output_similarity_backward) output_similarity_backward;
decltype(moe::topk_overlap_sum) topk_overlap_sum;
}  // namespace cuda

}  // namespace moe
