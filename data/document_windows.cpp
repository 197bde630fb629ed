#include "data/document_windows.h"

#include <algorithm>
#include <iterator>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

constexpr int64_t kDocumentsPerMark = 256;

DocumentMode document_mode(std::string_view name) {
  const auto* const found = std::find(std::begin(kDocumentModes), std::end(kDocumentModes), name);
  MOE_CHECK(found != std::end(kDocumentModes), "documents {}", name);
  return static_cast<DocumentMode>(found - std::begin(kDocumentModes));
}

void expect_documents(const Split& split, DocumentMode mode) {
  if (mode == DocumentMode::joined || split.has_documents()) return;
  raise<DataError>(
      "data.documents: {} needs to know where documents begin, but split {} has no index of them; prepare the text "
      "with "
      "moe-data prepare (again with --force, if it was prepared by an earlier version), or use documents: joined",
      name_of(mode), split.name());
}

// The number of documents that begin in [begin, begin + count).
static int64_t count_begins(const Split& split, int64_t begin, int64_t count) {
  int64_t begins = 0;
  split.visit_documents(begin, count, [&](int64_t place, int64_t) {
    begins += place >= begin;
    return true;
  });
  return begins;
}

int64_t count_predictions(const Split& split, int64_t begin, int64_t count, DocumentMode mode) {
  if (split.has_scored()) {
    int64_t scored = 0;
    split.visit_scored(begin, count,
                       [&](int64_t from, int64_t end, bool is_scored) { scored += is_scored ? end - from : 0; });
    return scored;
  }
  return count - (mode == DocumentMode::joined ? 0 : count_begins(split, begin, count));
}

// Calls add(begin, count, sign) for parts of a split whose values, added or subtracted, are those of its predictions.
template <class Add>
static void visit_predicted(const Split& split, DocumentMode mode, Add add) {
  if (split.has_scored()) {
    split.visit_scored(1, split.num_tokens() - 1, [&](int64_t begin, int64_t end, bool is_scored) {
      if (is_scored) add(begin, end - begin, 1);
    });
    return;
  }
  add(1, split.num_tokens() - 1, 1);
  if (mode == DocumentMode::joined) return;
  split.visit_documents(0, split.num_tokens(), [&](int64_t place, int64_t) {
    if (place > 0) add(place, 1, -1);
    return true;
  });
}

std::optional<int64_t> predicted_bytes(const Split& split, DocumentMode mode) {
  if (!split.raw_bytes(0, 0)) return std::nullopt;
  int64_t bytes = 0;
  visit_predicted(split, mode,
                  [&](int64_t begin, int64_t count, int sign) { bytes += sign * *split.raw_bytes(begin, count); });
  return bytes;
}

std::optional<UnknownText> predicted_unknown(const Split& split, DocumentMode mode) {
  if (!split.unknown() || *split.unknown() == UnknownText{}) return split.unknown();
  UnknownText unknown;
  visit_predicted(split, mode, [&](int64_t begin, int64_t count, int sign) {
    const UnknownText part = *split.unknown(begin, count);
    unknown.tokens += sign * part.tokens;
    unknown.bytes += sign * part.bytes;
  });
  return unknown;
}

void write_target_sources(const Split& split, const Batch& batch, std::vector<int32_t>& sources) {
  sources.assign(batch.targets.size(), 0);
  for (int64_t row = 0; row < batch.sequences; ++row) {
    const int64_t first = batch.starts[as_index(row)] + 1;  // the first target
    const int64_t tokens = batch.lengths.empty() ? batch.length : batch.lengths[as_index(row)];
    int32_t* const of_row = sources.data() + row * batch.length;
    split.visit_documents(first, tokens, [&](int64_t place, int64_t source) {
      std::fill(of_row + std::max<int64_t>(place - first, 0), of_row + tokens, static_cast<int32_t>(source));
      return true;
    });
  }
}

DocumentWindows::DocumentWindows(const Split& split, int64_t context, int64_t stride)
    : split_(split), context_(context), stride_(stride) {
  expect_documents(split, DocumentMode::fit);
  if (context < 1 || stride < 1 || stride > context) {
    raise<UsageError>("a stride of {} and a context of {}; expected 1 <= stride <= context", stride, context);
  }
  int64_t documents = 0;
  visit(0, [&](int64_t begin, int64_t tokens) {
    if (documents++ % kDocumentsPerMark == 0) marks_.push_back({num_windows_, begin});
    num_windows_ += windows_of(tokens);
    return true;
  });
  if (num_windows_ == 0) {
    raise<DataError>("split {} has no document of two tokens, so nothing can be predicted with documents: fit",
                     split.name());
  }
}

// Calls visit(begin, number of tokens) for the documents from the one that begins at `begin`, until it returns false.
template <class Visit>
void DocumentWindows::visit(int64_t begin, Visit visit) const {
  int64_t last = -1;
  bool goes_on = true;
  split_.visit_documents(begin, split_.num_tokens() - begin, [&](int64_t place, int64_t) {
    if (last >= 0) goes_on = visit(last, place - last);
    last = std::max<int64_t>(place, 0);
    return goes_on;
  });
  if (goes_on && last >= 0) visit(last, split_.num_tokens() - last);
}

int64_t DocumentWindows::windows_of(int64_t tokens) const {
  if (tokens < 2) return 0;
  return 1 + divide_up(std::max<int64_t>(0, tokens - 1 - context_), stride_);
}

Window DocumentWindows::window(int64_t index) const {
  MOE_CHECK(index >= 0 && index < num_windows_, "window {} of {} in the documents of split {}", index, num_windows_,
            split_.name());
  const auto after = std::upper_bound(marks_.begin(), marks_.end(), index,
                                      [](int64_t window, const Mark& mark) { return window < mark.windows; });
  // The last of several marks with the same number: the documents between them have no windows.
  const Mark& mark = *(after - 1);
  int64_t left = index - mark.windows;
  Window window;
  visit(mark.begin, [&](int64_t begin, int64_t tokens) {
    const int64_t here = windows_of(tokens);
    if (left >= here) {
      left -= here;
      return true;
    }
    const int64_t start = left * stride_, predictions = std::min(context_, tokens - 1 - start);
    window = {begin + start, predictions, left == 0 ? 0 : std::min(context_ - stride_, predictions)};
    return false;
  });
  return window;
}

EvaluationDocuments::EvaluationDocuments(const Split& split, int64_t context, int64_t stride, int64_t tokens)
    : split_(split.slice(split.name(), 0, tokens > 0 ? std::min(tokens, split.num_tokens()) : split.num_tokens())),
      context_(context),
      stride_(stride),
      windows_(split_, context, stride),
      num_predictions_(count_predictions(split_, 1, split_.num_tokens() - 1, DocumentMode::fit)) {}

void EvaluationDocuments::load(int64_t first, int64_t count, Batch& batch) const {
  load_windows(split_, count, context_, batch, [&](int64_t i) -> Window {
    return first + i < windows_.num_windows() ? windows_.window(first + i) : Window{};
  });
  for (int64_t i = 0; i < count; ++i) batch.sample_ids[as_index(i)] = first + i;
}

}  // namespace moe
