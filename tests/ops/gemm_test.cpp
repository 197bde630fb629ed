#include "core/ops/gemm.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/philox.h"
#include "core/ops/cpu_kernels.h"
#include "tests/support/catch.h"

using namespace moe::cpu;

namespace {

template <class T>
void gemm_serial(const GemmProblem<T>& problem) {
  cpu_kernels<T>().gemm.serial(problem);
}

constexpr double kSentinel = -12345;
constexpr int64_t kPadding = 3;  // padding elements between stored rows

// A stored matrix with padding after each row.
template <class T>
struct Matrix {
  int64_t rows, columns, ld;
  std::vector<T> values;

  Matrix(int64_t num_rows, int64_t num_columns, uint32_t stream)
      : rows(num_rows), columns(num_columns), ld(num_columns + kPadding), values(rows * ld + 1, T(kSentinel)) {
    const moe::RandomKey key{.seed = 1, .purpose = moe::RandomPurpose::test, .stream = stream};
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) values[i * ld + j] = T(key.uniform(i * columns + j) - 0.5f);
    }
  }
  T at(int64_t i, int64_t j) const { return values[i * ld + j]; }
};

// One problem with its own operands.
template <class T>
struct Case {
  int64_t m, n, k;
  Transpose transpose_a, transpose_b;
  Matrix<T> a, b, c;
  T alpha = 1;
  bool accumulate = false;

  Case(int64_t m_, int64_t n_, int64_t k_, Transpose ta, Transpose tb, uint32_t stream = 0)
      : m(m_),
        n(n_),
        k(k_),
        transpose_a(ta),
        transpose_b(tb),
        a(ta == Transpose::yes ? k : m, ta == Transpose::yes ? m : k, 3 * stream),
        b(tb == Transpose::yes ? n : k, tb == Transpose::yes ? k : n, 3 * stream + 1),
        c(m, n, 3 * stream + 2) {}

  GemmProblem<T> problem() {
    return {a.values.data(), a.ld,      transpose_a, b.values.data(), b.ld, transpose_b, c.values.data(), c.ld, m, n, k,
            alpha,           accumulate};
  }
  double expected(int64_t i, int64_t j) const {  // called before the product is run
    double sum = 0;
    for (int64_t p = 0; p < k; ++p) {
      const double left = transpose_a == Transpose::yes ? a.at(p, i) : a.at(i, p);
      const double right = transpose_b == Transpose::yes ? b.at(j, p) : b.at(p, j);
      sum += left * right;
    }
    return double(alpha) * sum + (accumulate ? double(c.at(i, j)) : 0.0);
  }
};

// Runs the case and compares; C holds NaN before, unless it is an operand.
template <class T, class Run>
void check(Case<T> test, Run run) {
  std::vector<double> expected;
  for (int64_t i = 0; i < test.m; ++i) {
    for (int64_t j = 0; j < test.n; ++j) expected.push_back(test.expected(i, j));
  }
  if (!test.accumulate) {
    for (int64_t i = 0; i < test.m; ++i) {
      for (int64_t j = 0; j < test.n; ++j) test.c.values[i * test.c.ld + j] = T(NAN);
    }
  }
  run(test.problem());
  INFO("m " << test.m << " n " << test.n << " k " << test.k << " transposes " << int(test.transpose_a)
            << int(test.transpose_b) << " accumulate " << test.accumulate << " alpha " << test.alpha);
  // The error bound of k products of at most 1/4 each.
  const double tolerance = (4 + std::sqrt(double(test.k))) * (sizeof(T) == 4 ? 1e-6 : 1e-14);
  for (int64_t i = 0; i < test.m; ++i) {
    for (int64_t j = 0; j < test.c.ld; ++j) {
      const double actual = test.c.values[i * test.c.ld + j];
      const double wanted = j < test.n ? expected[i * test.n + j] : kSentinel;
      const bool good = std::isfinite(actual) && std::abs(actual - wanted) <= (j < test.n ? tolerance : 0);
      if (!good) FAIL("element (" << i << ", " << j << ") is " << actual << ", not " << wanted);
    }
  }
  CHECK(test.c.values.back() == T(kSentinel));
}

template <class T>
void same_bits(const T* actual, const T* expected, int64_t count) {
  CHECK(std::memcmp(actual, expected, count * sizeof(T)) == 0);
}

// Restores the number of threads.
class ThreadCount {
 public:
  explicit ThreadCount(int num_threads) : before_(omp_get_max_threads()) { omp_set_num_threads(num_threads); }
  ~ThreadCount() { omp_set_num_threads(before_); }

 private:
  int before_;
};

constexpr Transpose kTransposes[] = {Transpose::no, Transpose::yes};

}  // namespace

TEMPLATE_TEST_CASE("gemm_serial equals the naive product", "[gemm]", float, double) {
  for (const Transpose ta : kTransposes) {
    for (const Transpose tb : kTransposes) {
      for (const int64_t m : {0, 1, 5, 6, 7, 15, 33}) {
        for (const int64_t n : {0, 1, 7, 15, 16, 17, 31, 33, 64}) {
          for (const int64_t k : {0, 1, 5, 16, 31, 64}) {
            check(Case<TestType>(m, n, k, ta, tb), gemm_serial<TestType>);
          }
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("gemm_serial works across block boundaries", "[gemm]", float, double) {
  for (const Transpose ta : kTransposes) {
    for (const Transpose tb : kTransposes) {
      check(Case<TestType>(257, 64, 257, ta, tb), gemm_serial<TestType>);
      check(Case<TestType>(31, 257, 600, ta, tb), gemm_serial<TestType>);
      check(Case<TestType>(7, 2100, 17, ta, tb), gemm_serial<TestType>);
      check(Case<TestType>(160, 2100, 5, ta, tb), gemm_serial<TestType>);
    }
  }
}

TEMPLATE_TEST_CASE("gemm scales and accumulates", "[gemm]", float, double) {
  for (const Transpose ta : kTransposes) {
    for (const Transpose tb : kTransposes) {
      for (const int64_t k : {0, 1, 33, 257, 600}) {
        for (const bool accumulate : {false, true}) {
          Case<TestType> test(17, 33, k, ta, tb);
          test.alpha = TestType(-0.75);
          test.accumulate = accumulate;
          check(test, gemm_serial<TestType>);
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("gemm_batch equals the naive product", "[gemm]", float, double) {
  for (const int num_threads : {1, 2, 7}) {
    const ThreadCount threads(num_threads);
    for (const Transpose ta : kTransposes) {
      for (const Transpose tb : kTransposes) {
        for (const int64_t m : {0, 1, 33, 257}) {
          check(Case<TestType>(m, 257, 64, ta, tb), [](const GemmProblem<TestType>& problem) {
            gemm_batch<TestType>({&problem, 1});
          });
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("gemm_batch gives bits identical to gemm_serial for any number of threads", "[gemm]", float,
                   double) {
  for (const Transpose ta : kTransposes) {
    for (const Transpose tb : kTransposes) {
      std::vector<Case<TestType>> expected;
      uint32_t stream = 0;
      for (const int64_t m : {64, 0, 257, 1, 100, 31}) {
        expected.emplace_back(m, 330, 300, ta, tb, stream++);
        expected.back().accumulate = stream % 2 == 0;
      }
      const auto initial = expected;
      for (auto& test : expected) gemm_serial(test.problem());
      for (const int num_threads : {1, 2, 3, 16}) {
        const ThreadCount threads(num_threads);
        auto actual = initial;
        std::vector<GemmProblem<TestType>> problems;
        for (auto& test : actual) problems.push_back(test.problem());
        gemm_batch<TestType>(problems);
        for (size_t i = 0; i < actual.size(); ++i) {
          same_bits(actual[i].c.values.data(), expected[i].c.values.data(), actual[i].c.values.size());
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("a row of C has identical bits at any position", "[gemm]", float, double) {
  for (const Transpose tb : kTransposes) {
    Case<TestType> whole(257, 150, 700, Transpose::no, tb);
    gemm_serial(whole.problem());
    for (const int64_t row : {0, 5, 6, 143, 144, 200, 255, 256}) {
      for (const int64_t num_rows : {1, 4, 7}) {
        if (row + num_rows > whole.m) continue;
        GemmProblem<TestType> part = whole.problem();
        std::vector<TestType> c(num_rows * whole.n);
        part.a += row * part.lda;
        part.c = c.data();
        part.ldc = whole.n;
        part.m = num_rows;
        gemm_serial(part);
        for (int64_t i = 0; i < num_rows; ++i) {
          same_bits(c.data() + i * whole.n, whole.c.values.data() + (row + i) * whole.c.ld, whole.n);
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("a column of C has identical bits at any position", "[gemm]", float, double) {
  Case<TestType> whole(40, 257, 300, Transpose::yes, Transpose::yes);
  whole.accumulate = true;
  const Case<TestType> initial = whole;
  gemm_serial(whole.problem());
  for (const int64_t column : {0, 3, 16, 240, 250, 256}) {
    const int64_t num_columns = std::min<int64_t>(5, whole.n - column);
    Case<TestType> part = initial;
    GemmProblem<TestType> problem = part.problem();
    problem.b += column * problem.ldb;
    problem.c += column;
    problem.n = num_columns;
    gemm_serial(problem);
    for (int64_t i = 0; i < whole.m; ++i) {
      same_bits(part.c.values.data() + i * part.c.ld + column, whole.c.values.data() + i * whole.c.ld + column,
                num_columns);
    }
  }
}

TEST_CASE("gemm_batch works inside a parallel region", "[gemm]") {
  Case<float> expected(100, 200, 300, Transpose::no, Transpose::yes);
  std::vector<Case<float>> actual(4, expected);
  gemm_serial(expected.problem());
#pragma omp parallel for num_threads(2)
  for (int i = 0; i < 4; ++i) {
    const GemmProblem<float> problem = actual[i].problem();
    gemm_batch<float>({&problem, 1});
  }
  for (const auto& test : actual) same_bits(test.c.values.data(), expected.c.values.data(), expected.c.values.size());
}

TEST_CASE("gemm_batch refuses overlapping rows", "[gemm]") {
  Case<float> test(4, 8, 3, Transpose::no, Transpose::no);
  GemmProblem<float> problem = test.problem();
  problem.ldc = 7;
  CHECK_THROWS(gemm_batch<float>({&problem, 1}));
}
