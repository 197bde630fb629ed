#include "tests/support/communicator_contract.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "comm/process_groups.h"
#include "core/tensor/bfloat16.h"

namespace moe::test {

namespace {

template <class T>
Tensor tensor_of(std::vector<T>& values, Shape shape) {
  return {values.data(), shape, DTypeOf<T>::value, Device::cpu};
}

template <class T>
void expect(const char* call, const std::vector<T>& actual, const std::vector<T>& expected) {
  MOE_CHECK(actual.size() == expected.size(), "{}: {} values, not {}", call, actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    MOE_CHECK(actual[i] == expected[i], "{}: element {} is {}, not {}", call, i, actual[i], expected[i]);
  }
}

template <class T>
void check_reductions(Communicator& ranks) {
  const T me = static_cast<T>(ranks.rank()), size = static_cast<T>(ranks.size()), all = size * (size - 1) / 2;
  std::vector<T> x = {me, 1, -me, 2 * me};
  ranks.all_reduce_sum(tensor_of(x, {2, 2}));
  expect<T>("all_reduce_sum", x, {all, size, -all, 2 * all});
  x = {me, 7, -me, -1 - me};
  ranks.all_reduce_max(tensor_of(x, {4}));
  expect<T>("all_reduce_max", x, {size - 1, 7, 0, -1});
  std::vector<T> none;
  ranks.all_reduce_sum(tensor_of(none, {0}));
  ranks.all_reduce_max(tensor_of(none, {0, 3}));
  for (int root = 0; root < ranks.size(); ++root) {
    x = {me, me + 1, me + 2};
    ranks.broadcast(tensor_of(x, {3}), root);
    const T from = static_cast<T>(root);
    expect<T>("broadcast", x, {from, from + 1, from + 2});
  }
}

// Sums of numbers that do not add up exactly: every rank must get identical bits.
void check_same_bits_everywhere(Communicator& ranks) {
  std::vector<float> x;
  for (int i = 0; i < 1000; ++i) x.push_back(1.0f / static_cast<float>(3 + i + 7 * ranks.rank()));
  ranks.all_reduce_sum(tensor_of(x, {1000}));
  std::vector<float> of_first = x;
  ranks.broadcast(tensor_of(of_first, {1000}), 0);
  expect("all_reduce_sum on every rank", x, of_first);
}

// Rank s sends rows(s, r) rows to rank r, each with the sender, the receiver and its index.
template <class T, class Rows>
void check_all_to_all(Communicator& ranks, Rows rows, bool one_dimension) {
  const int64_t width = one_dimension ? 1 : 3;
  std::vector<int64_t> send_rows, recv_rows;
  std::vector<T> send, expected;
  const auto append = [width](std::vector<T>& to, int64_t from_rank, int64_t to_rank, int64_t count) {
    for (int64_t i = 0; i < count * width; ++i) to.push_back(static_cast<T>(10'000 * from_rank + 1'000 * to_rank + i));
  };
  for (int peer = 0; peer < ranks.size(); ++peer) {
    send_rows.push_back(rows(ranks.rank(), peer));
    recv_rows.push_back(rows(peer, ranks.rank()));
    append(send, ranks.rank(), peer, send_rows.back());
    append(expected, peer, ranks.rank(), recv_rows.back());
  }
  std::vector<T> recv(expected.size(), T(-1));
  const auto shape = [&](const std::vector<T>& values) {
    const auto count = static_cast<int64_t>(values.size());
    return one_dimension ? Shape{count} : Shape{count / width, width};
  };
  ranks.all_to_all(tensor_of(recv, shape(recv)), recv_rows, tensor_of(send, shape(send)), send_rows);
  expect("all_to_all", recv, expected);
}

template <class T>
void check_all_exchanges(Communicator& ranks) {
  const int64_t size = ranks.size();
  for (const bool one_dimension : {false, true}) {
    check_all_to_all<T>(
        ranks, [](int64_t from, int64_t to) { return 1 + (from + 2 * to) % 3; }, one_dimension);
    check_all_to_all<T>(
        ranks, [](int64_t from, int64_t to) { return (from + to) % 2 * 4; }, one_dimension);  // some send none
    check_all_to_all<T>(
        ranks, [](int64_t, int64_t to) { return to == 0 ? 5 : 0; }, one_dimension);  // all to one
    check_all_to_all<T>(
        ranks, [size](int64_t from, int64_t) { return from == size - 1 ? 2 : 0; }, one_dimension);
    check_all_to_all<T>(
        ranks, [](int64_t, int64_t) { return 0; }, one_dimension);
    check_all_to_all<T>(
        ranks, [](int64_t, int64_t) { return 3'000; }, one_dimension);
  }
}

// Element i of a rank's terms: numbers that do not add up exactly.
template <class T>
T term(int rank, int64_t i, DType wire) {
  const T x = T(1) / static_cast<T>(3 + i % 1000 + 7 * rank);
  return wire == DType::bf16 ? static_cast<T>(to_float(to_bfloat16(static_cast<float>(x)))) : x;
}

// The sum over the ranks in their order.
template <class T>
T sum_of_terms(int ranks, int64_t i, DType wire) {
  T sum = term<T>(0, i, wire);
  for (int r = 1; r < ranks; ++r) sum += term<T>(r, i, wire);
  return wire == DType::bf16 ? static_cast<T>(to_float(to_bfloat16(static_cast<float>(sum)))) : sum;
}

template <class T>
void check_started_sums(Communicator& ranks, int64_t n, bool uneven, DType wire) {
  std::vector<int64_t> parts = equal_parts(n, ranks.size());
  if (uneven) {  // the first rank has no part, the last has two
    parts.back() += std::exchange(parts.front(), 0);
    if (ranks.size() == 1) parts = {n};
  }
  std::vector<T> terms, sums;
  for (int64_t i = 0; i < n; ++i) {
    terms.push_back(term<T>(ranks.rank(), i, DType::f32));
    sums.push_back(ranks.size() == 1 ? terms.back() : sum_of_terms<T>(ranks.size(), i, wire));
  }
  std::vector<T> reduced = terms, scattered = terms;
  Pending first = ranks.start_all_reduce_sum(tensor_of(reduced, {n}), parts, wire);
  Pending second = ranks.start_reduce_scatter_sum(tensor_of(scattered, {n}), parts, wire);
  second.wait();
  int64_t begin = 0;
  for (int r = 0; r < ranks.rank(); ++r) begin += parts[static_cast<size_t>(r)];
  const int64_t end = begin + parts[static_cast<size_t>(ranks.rank())];
  for (int64_t i = begin; i < end; ++i) {
    const auto at = static_cast<size_t>(i);
    MOE_CHECK(scattered[at] == sums[at], "start_reduce_scatter_sum: element {} is {}, not {}", i, scattered[at],
              sums[at]);
  }
  // Only a rank's own part may be used.
  std::fill(scattered.begin(), scattered.begin() + begin, T(-1));
  std::fill(scattered.begin() + end, scattered.end(), T(-1));
  Pending third = ranks.start_all_gather(tensor_of(scattered, {n}), parts, wire);
  third.wait();
  first.wait();
  expect("start_all_gather", scattered, sums);
  expect("start_all_reduce_sum", reduced, sums);
}

void check_started(Communicator& ranks) {
  for (const int64_t n : {int64_t{0}, int64_t{1}, int64_t{5}, int64_t{100'003}}) {
    for (const bool uneven : {false, true}) {
      check_started_sums<float>(ranks, n, uneven, DType::f32);
      check_started_sums<float>(ranks, n, uneven, DType::bf16);
      check_started_sums<double>(ranks, n, uneven, DType::f32);
    }
  }
  // Many at once, waited for in the reverse order, while others are carried out as usual.
  constexpr int64_t kRows = 40, kMany = 30;
  const std::vector<int64_t> rows(static_cast<size_t>(ranks.size()), kRows);
  std::vector<std::vector<int32_t>> sent, received;
  std::vector<Pending> pending;
  for (int32_t m = 0; m < kMany; ++m) {
    sent.emplace_back(static_cast<size_t>(kRows * ranks.size()), 100 * ranks.rank() + m);
    received.emplace_back(sent.back().size(), -1);
  }
  for (size_t m = 0; m < kMany; ++m) {
    const Shape shape{kRows * ranks.size()};
    pending.push_back(ranks.start_all_to_all(tensor_of(received[m], shape), rows, tensor_of(sent[m], shape), rows));
    check_same_bits_everywhere(ranks);
  }
  for (size_t m = kMany; m-- > 0;) {
    pending[m].wait();
    pending[m].wait();  // does nothing
    std::vector<int32_t> expected;
    for (int r = 0; r < ranks.size(); ++r) expected.insert(expected.end(), kRows, 100 * r + static_cast<int32_t>(m));
    expect("start_all_to_all", received[m], expected);
  }
}

void check_split(Communicator& ranks) {
  const auto part = ranks.split(ranks.rank() % 2);
  MOE_CHECK(part->size() == (ranks.size() + 1 - ranks.rank() % 2) / 2, "{} ranks in a part", part->size());
  MOE_CHECK(part->rank() == ranks.rank() / 2, "rank {} became {}", ranks.rank(), part->rank());
  std::vector<int32_t> sum = {ranks.rank()}, expected = {0};
  for (int peer = ranks.rank() % 2; peer < ranks.size(); peer += 2) expected[0] += peer;
  part->all_reduce_sum(tensor_of(sum, {1}));
  expect("all_reduce_sum of a part", sum, expected);
  // Parts of different sizes do different things at the same time, and a part can be split again.
  const auto own = part->split(part->rank());
  MOE_CHECK(own->size() == 1 && own->rank() == 0, "{} ranks in a part of one", own->size());
  own->barrier();
  if (ranks.rank() % 2 == 0) part->barrier();
  const auto whole = ranks.split(5);
  MOE_CHECK(whole->size() == ranks.size() && whole->rank() == ranks.rank(), "rank {} of {}", whole->rank(),
            whole->size());
  check_reductions<float>(*whole);
}

}  // namespace

void check_communicator(Communicator& ranks) {
  MOE_CHECK(ranks.rank() >= 0 && ranks.rank() < ranks.size(), "rank {} of {}", ranks.rank(), ranks.size());
  check_reductions<float>(ranks);
  check_reductions<double>(ranks);
  check_reductions<int32_t>(ranks);
  check_same_bits_everywhere(ranks);
  check_all_exchanges<float>(ranks);
  check_all_exchanges<double>(ranks);
  check_all_exchanges<int32_t>(ranks);
  check_started(ranks);
  check_split(ranks);
  check_started(*ranks.split(ranks.rank() / 2));
  ranks.barrier();
}

}  // namespace moe::test
