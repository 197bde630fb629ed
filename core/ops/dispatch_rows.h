// Moves token rows to experts and back, by gathers only: each element has one writer, so there are no atomics and the
// order of sums is fixed. An assignment is a slot (token, j) that names an expert; -1 marks an empty slot.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// Stable counting sort of assignments by expert.
// indices (tokens, k) i32 -> position (tokens, k) i32: the sorted row of each slot, -1 for none;
// source (tokens * k) i32: the slot (token * k + j) of each sorted row; offsets (experts + 1) i32
void sort_assignments(Context& ctx, Tensor position, Tensor source, Tensor offsets, ConstTensor indices);

// indices (tokens, k) i32, places (experts) i32 -> placed (tokens, k) i32: places[expert] of each slot's expert, -1 for
// an empty slot. Sorting by places instead of experts puts experts in any order.
void place_assignments(Context& ctx, Tensor placed, ConstTensor indices, ConstTensor places);

// The same for experts that are at several places: expert e is at places[first[e]] to places[first[e + 1] - 1], with
// first (experts + 1) i32, places (first[experts]) i32 and at least one place each. An expert's tokens are divided
// nearly equally among its places by their index in the step's global batch, `first_token` + row, so that the place
// does not depend on the layout of the ranks. See copy_of_token.
void place_on_copies(Context& ctx, Tensor placed, ConstTensor indices, ConstTensor first, ConstTensor places,
                     int64_t first_token);

// For tokens that are sent once to each host with an expert that they chose:
// indices (tokens, k) i32, host_of (experts) i32: the host of each expert, below `hosts` -> chosen (tokens, hosts) i32:
// chosen[t][h] = h if token t chose an expert of host h, else -1
void choose_hosts(Context& ctx, Tensor chosen, ConstTensor indices, ConstTensor host_of);
// values (tokens, k) i32, one for each slot of `indices`; source (>= num_rows) i32: the slot (token * hosts + h) of
// each row -> rows (num_rows, k) i32: the token's values in the slots whose expert is on host h, -1 in the others
void select_on_host(Context& ctx, Tensor rows, ConstTensor values, ConstTensor source, ConstTensor indices,
                    ConstTensor host_of, int64_t hosts);

// Numbers the assignment of each sorted row within the step's global batch, independent of rank and row order: (token *
// experts + expert) modulo 2^32, where token = first_token + source[i] / k is the index in the global batch. indices
// (tokens, k) i32, source as above -> numbers (num_rows) i32, undefined for unused rows
void number_assignments(Context& ctx, Tensor numbers, ConstTensor source, ConstTensor indices, int64_t first_token,
                        int64_t experts);

// x (tokens, d) -> rows (num_rows, d): rows[i] = x[source[i] / k]; on the CPU, f32 may become bf16, rounded, or bf16
// f32
void permute_forward(Context& ctx, Tensor rows, ConstTensor x, ConstTensor source, int64_t k);
// d_rows (num_rows, d), position (tokens, k) -> d_x (tokens, d), added to: the sum over the token's slots, in order
void permute_backward(Context& ctx, Tensor d_x, ConstTensor d_rows, ConstTensor position);

// rows (num_rows, d), weights (tokens, k), position (tokens, k) -> y (tokens, d): the weighted sum over a token's
// slots; zero for a token without assignments
void combine_forward(Context& ctx, Tensor y, ConstTensor rows, ConstTensor weights, ConstTensor position);
// d_y (tokens, d) -> d_rows (num_rows, d) = weight * d_y of the row's token, overwritten;
// d_weights (tokens, k) = <d_y, row>, overwritten (0 for an empty slot)
void combine_backward(Context& ctx, Tensor d_rows, Tensor d_weights, ConstTensor d_y, ConstTensor rows,
                      ConstTensor weights, ConstTensor position, ConstTensor source);

// y[i] = x[index[i]] for rows of d columns: index (num_rows) i32; x of any dtype, i32 too; on the CPU, f32 may become
// bf16, rounded, or bf16 f32
void gather_rows(Context& ctx, Tensor y, ConstTensor x, ConstTensor index);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::sort_assignments) sort_assignments;
decltype(moe::place_assignments) place_assignments;
decltype(moe::place_on_copies) place_on_copies;
decltype(moe::choose_hosts) choose_hosts;
decltype(moe::select_on_host) select_on_host;
decltype(moe::number_assignments) number_assignments;
decltype(moe::permute_forward) permute_forward;
decltype(moe::permute_backward) permute_backward;
decltype(moe::combine_forward) combine_forward;
decltype(moe::combine_backward) combine_backward;
decltype(moe::gather_rows) gather_rows;
}  // namespace cuda

}  // namespace moe
