// A routing trace as tables: per token, per token id, and per position.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/trace/step_trace.h"

namespace moe {

enum class TraceTable { tokens, ids, positions };

struct TraceReportOptions {
  TraceTable by = TraceTable::tokens;
  std::optional<int64_t> block;  // only this one
  int64_t rows = 40;             // most rows of a table for a terminal; 0: all
};

// The text of a token id; empty where the run has no vocabulary.
using TokenText = std::function<std::string(int32_t id)>;
// A token's text on one line, without control characters.
std::string one_line(const std::string& text);

// What the tokens of one id, or at one position, chose in a block.
struct ChoiceCounts {
  int64_t key = 0;             // the id or the position
  double tokens = 0;           // number of such tokens
  std::vector<double> counts;  // (experts): their choices, dropped ones included

  double assignments() const;
};
// By id of the input, or by position; ascending.
std::vector<ChoiceCounts> counts_by(const StepTrace& trace, const LayerTrace& layer, TraceTable by);

// Throws UsageError for a block that the trace has not, and for a table by id of samples without token ids.
// A table for a terminal. Ids are in the order of their number of tokens.
std::string trace_text(const StepTrace& trace, const TokenText& text, const TraceReportOptions& options);
// All rows, one for each choice of a token, or for each expert of an id or position, as comma-separated values.
std::string trace_csv(const StepTrace& trace, const TokenText& text, const TraceReportOptions& options);

// Reads the trace of a step, by default of the last one. `of`: training, validation, or empty for the one that there
// is. Throws DataError where there is none.
StepTrace load_trace(const std::string& run, const std::string& of, std::optional<int64_t> step);
// Decodes ids by the tokenizer in the run's last checkpoint; returns empty texts without one.
TokenText token_text_of(const std::string& run);

}  // namespace moe
