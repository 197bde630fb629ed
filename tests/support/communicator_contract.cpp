#include "tests/support/communicator_contract.h"

#include <algorithm>
#include <vector>

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
  check_split(ranks);
  ranks.barrier();
}

}  // namespace moe::test
