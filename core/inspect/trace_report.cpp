#include "core/inspect/trace_report.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <span>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/record/run_folder.h"
#include "core/tasks/task.h"
#include "data/tokenizer.h"

namespace moe {
namespace {

constexpr int64_t kMostExperts = 4;    // of an id or position in a table for a terminal
constexpr int64_t kPositionRows = 16;  // there: ranges of positions

std::vector<const LayerTrace*> chosen_layers(const StepTrace& trace, const TraceReportOptions& options) {
  std::vector<const LayerTrace*> layers;
  std::vector<std::string> blocks;
  for (const LayerTrace& layer : trace.layers) {
    if (!options.block || *options.block == layer.block) layers.push_back(&layer);
    blocks.push_back(std::to_string(layer.block));
  }
  if (layers.empty())
    raise<UsageError>("the trace has no block {}; its MoE blocks are {}", options.block.value_or(0),
                      join(blocks, ", "));
  return layers;
}

std::string id_with_text(int32_t id, const TokenText& text) {
  const std::string words = one_line(text(id));
  const std::string number = std::to_string(id);
  return words.empty() || words == number ? number : fmt::format("{} '{}'", number, words);
}

// "3:0.61 5:0.39*", where * marks a choice that a capacity dropped.
std::string choices_of(const LayerTrace& layer, int64_t token) {
  std::vector<std::string> words;
  for (int64_t s = 0; s < layer.slots; ++s) {
    if (layer.expert(token, s) == kNoExpert) continue;
    words.push_back(fmt::format("{}:{:.2f}{}", layer.expert(token, s), layer.weight(token, s),
                                layer.is_dropped(token, s) ? "*" : ""));
  }
  return words.empty() ? "-" : join(words, " ");
}

// Rows of cells with columns as wide as their widest cell.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> width;
  const auto characters = [](const std::string& cell) {
    return as_index(std::count_if(cell.begin(), cell.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  };
  for (const auto& row : rows) {
    width.resize(std::max(width.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], characters(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i)
      line += row[i] + std::string(i + 1 < row.size() ? width[i] - characters(row[i]) + 2 : 0, ' ');
    text += line + "\n";
  }
  return text;
}

std::string rest_of(int64_t shown_rows, int64_t all, const char* what) {
  return shown_rows < all
             ? fmt::format("... and {} {} more (--rows 0 shows all, --csv FILE writes all)\n", all - shown_rows, what)
             : "";
}

int64_t most_rows(const TraceReportOptions& options, int64_t all) {
  return options.rows > 0 ? std::min(options.rows, all) : all;
}

std::string tokens_text(const StepTrace& trace, const TokenText& text, const TraceReportOptions& options) {
  const auto layers = chosen_layers(trace, options);
  std::vector<std::vector<std::string>> rows{{"sample", "position"}};
  if (!trace.offsets.empty()) rows[0].emplace_back("offset");
  if (!trace.ids.empty()) rows[0].emplace_back("token");
  for (const LayerTrace* layer : layers) rows[0].push_back(fmt::format("block {}", layer->block));
  const int64_t count = most_rows(options, trace.tokens());
  for (int64_t t = 0; t < count; ++t) {
    const auto i = as_index(t);
    std::vector<std::string> row{std::to_string(trace.samples[i]), std::to_string(trace.positions[i])};
    if (!trace.offsets.empty()) row.push_back(std::to_string(trace.offsets[i]));
    if (!trace.ids.empty()) row.push_back(id_with_text(trace.ids[i], text));
    for (const LayerTrace* layer : layers) row.push_back(choices_of(*layer, t));
    rows.push_back(std::move(row));
  }
  return aligned(rows) + rest_of(count, trace.tokens(), "tokens");
}

// The experts with the largest shares of an id's or a position's choices.
std::string shares_of(const ChoiceCounts& choices) {
  const double all = choices.assignments();
  if (all == 0) return "-";
  std::vector<size_t> order(choices.counts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return choices.counts[a] > choices.counts[b]; });
  std::vector<std::string> words;
  for (const size_t e : order) {
    if (choices.counts[e] == 0 || std::ssize(words) == kMostExperts) break;
    words.push_back(fmt::format("{}: {:.0f} %", e, 100 * choices.counts[e] / all));
  }
  return join(words, ", ");
}

std::string ids_text(const StepTrace& trace, const TokenText& text, const TraceReportOptions& options) {
  std::string result;
  for (const LayerTrace* layer : chosen_layers(trace, options)) {
    std::vector<ChoiceCounts> ids = counts_by(trace, *layer, TraceTable::ids);
    std::stable_sort(ids.begin(), ids.end(),
                     [](const ChoiceCounts& a, const ChoiceCounts& b) { return a.tokens > b.tokens; });
    std::vector<std::vector<std::string>> rows{{"token", "count", "experts' shares of its choices"}};
    const int64_t count = most_rows(options, std::ssize(ids));
    for (int64_t i = 0; i < count; ++i) {
      const ChoiceCounts& id = ids[as_index(i)];
      rows.push_back(
          {id_with_text(static_cast<int32_t>(id.key), text), fmt::format("{:.0f}", id.tokens), shares_of(id)});
    }
    result += fmt::format("block {}\n{}{}", layer->block, aligned(rows), rest_of(count, std::ssize(ids), "ids"));
  }
  return result;
}

// Neighbouring positions are added up where there are many.
std::string positions_text(const StepTrace& trace, const TraceReportOptions& options) {
  std::string result;
  for (const LayerTrace* layer : chosen_layers(trace, options)) {
    const std::vector<ChoiceCounts> all = counts_by(trace, *layer, TraceTable::positions);
    const int64_t each = options.rows > 0 ? divide_up(std::ssize(all), std::min(options.rows, kPositionRows)) : 1;
    std::vector<std::vector<std::string>> rows{{"positions", "tokens", "experts' shares of the choices there"}};
    for (int64_t begin = 0; begin < std::ssize(all); begin += each) {
      ChoiceCounts sum{.key = 0, .tokens = 0, .counts = std::vector<double>(as_index(layer->experts))};
      const int64_t end = std::min(begin + each, std::ssize(all));
      for (int64_t i = begin; i < end; ++i) {
        sum.tokens += all[as_index(i)].tokens;
        for (size_t e = 0; e < sum.counts.size(); ++e) sum.counts[e] += all[as_index(i)].counts[e];
      }
      const int64_t first = all[as_index(begin)].key, last = all[as_index(end - 1)].key;
      rows.push_back({first == last ? std::to_string(first) : fmt::format("{}-{}", first, last),
                      fmt::format("{:.0f}", sum.tokens), shares_of(sum)});
    }
    result += fmt::format("block {}\n{}", layer->block, aligned(rows));
  }
  return result;
}

std::string tokens_csv(const StepTrace& trace, const TokenText& text, const TraceReportOptions& options) {
  const auto layers = chosen_layers(trace, options);
  std::string csv = "sample,position,offset,token,text,next,block,slot,expert,weight,dropped\r\n";
  for (int64_t t = 0; t < trace.tokens(); ++t) {
    const auto i = as_index(t);
    std::string token = fmt::format("{},{},{},", trace.samples[i], trace.positions[i],
                                    trace.offsets.empty() ? "" : std::to_string(trace.offsets[i]));
    token +=
        trace.ids.empty() ? ",," : fmt::format("{},{},{}", trace.ids[i], csv_field(text(trace.ids[i])), trace.next[i]);
    for (const LayerTrace* layer : layers) {
      for (int64_t s = 0; s < layer->slots; ++s) {
        if (layer->expert(t, s) == kNoExpert) continue;
        csv += fmt::format("{},{},{},{},{:.9g},{}\r\n", token, layer->block, s, layer->expert(t, s),
                           layer->weight(t, s), layer->is_dropped(t, s) ? 1 : 0);
      }
    }
  }
  return csv;
}

std::string counts_csv(const StepTrace& trace, const TokenText& text, const TraceReportOptions& options) {
  const bool ids = options.by == TraceTable::ids;
  std::string csv =
      ids ? "block,token,text,tokens,expert,choices,share\r\n" : "block,position,tokens,expert,choices,share\r\n";
  for (const LayerTrace* layer : chosen_layers(trace, options)) {
    for (const ChoiceCounts& c : counts_by(trace, *layer, options.by)) {
      std::string key = fmt::format("{},{}", layer->block, c.key);
      if (ids) key += "," + csv_field(text(static_cast<int32_t>(c.key)));
      for (size_t e = 0; e < c.counts.size(); ++e) {
        csv += fmt::format("{},{:.0f},{},{:.0f},{:.9g}\r\n", key, c.tokens, e, c.counts[e],
                           c.assignments() > 0 ? c.counts[e] / c.assignments() : 0.0);
      }
    }
  }
  return csv;
}

void require_ids(const StepTrace& trace, const TraceReportOptions& options) {
  if (options.by == TraceTable::ids && trace.ids.empty())
    throw UsageError("--by id: the traced tokens have no ids; use --by token or --by position");
}

}  // namespace

double ChoiceCounts::assignments() const {
  return std::accumulate(counts.begin(), counts.end(), 0.0);
}

std::vector<ChoiceCounts> counts_by(const StepTrace& trace, const LayerTrace& layer, TraceTable by) {
  const std::vector<int32_t>& keys = by == TraceTable::ids ? trace.ids : trace.positions;
  std::map<int32_t, ChoiceCounts> counts;
  for (int64_t t = 0; t < trace.tokens(); ++t) {
    ChoiceCounts& of_key = counts[keys[as_index(t)]];
    of_key.key = keys[as_index(t)];
    of_key.tokens += 1;
    of_key.counts.resize(as_index(layer.experts));
    for (int64_t s = 0; s < layer.slots; ++s) {
      if (layer.expert(t, s) != kNoExpert) of_key.counts[as_index(layer.expert(t, s))] += 1;
    }
  }
  std::vector<ChoiceCounts> result;
  for (auto& [key, of_key] : counts) result.push_back(std::move(of_key));
  return result;
}

std::string trace_text(const StepTrace& trace, const TokenText& text, const TraceReportOptions& options) {
  require_ids(trace, options);
  std::string result = fmt::format("step {}, {}: {} tokens of {} samples of up to {}{}\n", trace.facts.step,
                                   trace.facts.of, trace.tokens(), trace.facts.samples, trace.facts.sequence,
                                   trace.facts.is_complete ? "" : " (not all of them: trace.tokens)");
  const bool drops = std::any_of(trace.layers.begin(), trace.layers.end(), [](const LayerTrace& layer) {
    return std::find(layer.dropped.begin(), layer.dropped.end(), 1) != layer.dropped.end();
  });
  switch (options.by) {
    case TraceTable::tokens:
      return result + "expert:weight" + (drops ? "; * marks a choice that the capacity dropped" : "") + "\n" +
             tokens_text(trace, text, options);
    case TraceTable::ids:
      return result + ids_text(trace, text, options);
    case TraceTable::positions:
      return result + positions_text(trace, options);
  }
  return result;
}

std::string trace_csv(const StepTrace& trace, const TokenText& text, const TraceReportOptions& options) {
  require_ids(trace, options);
  return options.by == TraceTable::tokens ? tokens_csv(trace, text, options) : counts_csv(trace, text, options);
}

StepTrace load_trace(const std::string& run, const std::string& of, std::optional<int64_t> step) {
  std::string kind = of;
  if (kind.empty()) kind = traced_steps(run, "training").empty() ? "validation" : "training";
  const std::vector<int64_t> steps = traced_steps(run, kind);
  if (steps.empty())
    raise<DataError>("{} has no traces of {}; train it with trace.every: 1 and trace.of: {}", run,
                     of.empty() ? "training or validation" : kind, kind);
  if (step && !std::binary_search(steps.begin(), steps.end(), *step)) {
    raise<DataError>("{} has no trace of step {}; there are {} of the steps {} to {}", trace_folder(run, kind), *step,
                     steps.size(), steps.front(), steps.back());
  }
  return StepTraceFile(trace_path(run, kind, step.value_or(steps.back()))).all();
}

std::string one_line(const std::string& text) {
  std::string line;
  for (const char c : text) line += c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string(1, c);
  return shown(line);
}

TokenText token_text_of(const std::string& run) {
  const TokenText none = [](int32_t) { return std::string(); };
  if (CheckpointFolder(run + "/checkpoints").steps().empty()) return none;
  const std::string checkpoint = find_checkpoint(run, "last");
  const TrainConfig config = load_run_config(checkpoint);
  const TaskKind& task = tasks().at(config.task);
  const Json samples = read_description(config.task, checkpoint);
  const Json* description = task.tokenizer(samples);
  if (!description) return none;
  const std::shared_ptr<Tokenizer> tokenizer = load_tokenizer(*description, description_file(task, checkpoint));
  return [tokenizer](int32_t id) {
    return id < 0 || id >= tokenizer->vocab_size() ? "" : tokenizer->decode(std::span(&id, 1));
  };
}

}  // namespace moe
