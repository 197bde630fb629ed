// Sequences that hold several documents, for tests of ops.
#pragma once
#include <algorithm>
#include <vector>

#include "core/base/integer.h"
#include "core/base/philox.h"
#include "core/ops/attention_layout.h"
#include "tests/support/test_context.h"

namespace moe::test {

// Cuts each sequence into documents of 1 to `longest` tokens, drawn at random; 0: each sequence is one document.
struct Documents {
  Documents(TestContext& ctx, const AttentionLayout& of, int64_t sequences, int64_t longest) : layout(of), on_host(of) {
    const int64_t time = of.time;
    begins.resize(as_index(sequences * time));
    ends.resize(begins.size());
    const RandomKey key{5, RandomPurpose::test, 9, static_cast<uint64_t>(longest)};
    for (int64_t s = 0; s < sequences; ++s) {
      for (int64_t begin = 0; begin < time;) {
        const auto drawn = static_cast<int64_t>(key.bits(static_cast<uint64_t>(s * time + begin)) % 1'000'003);
        const int64_t end = longest == 0 ? time : std::min(time, begin + 1 + drawn % longest);
        std::fill(begins.begin() + s * time + begin, begins.begin() + s * time + end, static_cast<int32_t>(begin));
        std::fill(ends.begin() + s * time + begin, ends.begin() + s * time + end, static_cast<int32_t>(end));
        begin = end;
      }
    }
    first = ctx.of_i32({sequences * time}, begins);
    last = ctx.of_i32({sequences * time}, ends);
    layout.begins = first.as<int32_t>();
    layout.ends = last.as<int32_t>();
    on_host.begins = begins.data();
    on_host.ends = ends.data();
  }

  Documents(const Documents&) = delete;

  AttentionLayout layout, on_host;  // for ops, and for a reference on the host
  std::vector<int32_t> begins, ends;
  Tensor first, last;  // (sequences * time) each
};

// Layouts whose documents begin and end inside of tiles, at their borders, and span several.
struct DocumentCase {
  AttentionLayout layout;
  int64_t longest;
};
inline std::vector<DocumentCase> document_cases() {
  return {{{1, 1, 1, 3}, 1},      {{65, 2, 1, 5}, 1},      {{65, 2, 2, 16}, 20},
          {{130, 4, 2, 8}, 30},   {{130, 1, 1, 64}, 90},   {{250, 2, 1, 33}, 100},
          {{257, 2, 1, 72}, 250}, {{300, 1, 1, 128}, 200}, {{700, 2, 1, 8}, 400}};
}

}  // namespace moe::test
