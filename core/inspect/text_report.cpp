#include "core/inspect/text_report.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <string_view>

#include "core/base/integer.h"
#include "core/base/output.h"
#include "core/base/text.h"
#include "core/base/units.h"
#include "core/inspect/communication_report.h"
#include "core/inspect/lifecycle_report.h"
#include "core/inspect/load_bars.h"
#include "core/inspect/modality_report.h"
#include "core/inspect/placement_report.h"
#include "core/inspect/specialisation_report.h"

namespace moe {
namespace {

constexpr int kBarColumns = 64;  // width of a row of bars
constexpr size_t kIndent = 7;
constexpr size_t kMostDrops = 16;  // maximum number of listed experts

std::string repeat(std::string_view text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

double mean(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

std::string norm(const std::vector<double>& x) {
  return x.empty() ? "-" : fmt::format("{:.3g}", mean(x));
}

std::string header_row() {
  return fmt::format("{:>5} {:>8} {:>8} {:>6} {:>7} {:>7} {:>5} {:>5} {:>6} {:>6} {:>6}\n", "layer", "max/mean",
                     "min/mean", "cv", "load H", "gate H", "dead", "weak", "|in|", "|out|", "|gate|");
}

std::string layer_row(const LayerStats& s, const Painter& paint) {
  const auto count = [&](int64_t n, Colour colour) {
    return paint(n ? colour : Colour::none, fmt::format("{:>5}", n));
  };
  return fmt::format(
      "{:>5} {} {:>8.2f} {:>6.2f} {:>7.3f} {:>7.3f} {} {} {:>6} {:>6} {:>6}\n", s.layer,
      paint(s.max_over_mean > kFullBar ? Colour::magenta : Colour::none, fmt::format("{:>8.2f}", s.max_over_mean)),
      s.min_over_mean, s.variation, s.load_entropy, s.router_entropy, count(s.dead, Colour::red),
      count(s.nearly_dead, Colour::yellow), norm(s.norms.input), norm(s.norms.output), norm(s.norms.router));
}

// One or more columns per expert; up to 16 experts have their numbers below.
std::string expert_rows(const LayerStats& s, const Painter& paint) {
  const size_t experts = s.load.size(), width = std::min<size_t>(static_cast<size_t>(kBarColumns) / experts, 8);
  const bool with_numbers = width >= 4;
  const size_t filled = with_numbers ? width - 1 : width;
  std::string bars(kIndent, ' '), numbers(kIndent, ' ');
  for (size_t e = 0; e < experts; ++e) {
    const double relative = s.relative_load(e);
    const Colour colour = colour_of_load(relative);
    const std::string gap(e > 0 ? width - filled : 0, ' ');
    bars += gap + paint(colour, repeat(load_bar(relative), filled));
    numbers += gap + paint(colour == Colour::none ? Colour::faint : colour,
                           fmt::format("{:<{}}", short_load(relative), filled));
  }
  return bars + "\n" + (with_numbers ? numbers + "\n" : "");
}

// For more experts than columns: sorted by load; a column shows the mean of several experts.
std::string sorted_rows(const LayerStats& s, const Painter& paint) {
  std::vector<double> relative;
  for (size_t e = 0; e < s.load.size(); ++e) relative.push_back(s.relative_load(e));
  const std::string bars = std::string(kIndent, ' ') + load_bars(relative, kBarColumns, paint);
  std::sort(relative.begin(), relative.end(), std::greater<>());
  const auto quantile = [&](double q) {
    return relative[as_index(std::lround((1 - q) * static_cast<double>(relative.size() - 1)))];
  };
  return fmt::format("{}\n{:{}}sorted by load; min {:.2f}, 10% {:.2f}, median {:.2f}, 90% {:.2f}, max {:.2f}\n", bars,
                     "", kIndent, quantile(0), quantile(0.1), quantile(0.5), quantile(0.9), quantile(1));
}

// Joins the items with commas, in lines of at most 80 columns.
std::string wrapped(const std::vector<std::string>& items) {
  std::string rows, line;
  for (const std::string& item : items) {
    if (!line.empty() && kIndent + line.size() + 2 + item.size() > 80) {
      rows += std::string(kIndent, ' ') + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : ", ") + item;
  }
  return line.empty() ? rows : rows + std::string(kIndent, ' ') + line + "\n";
}

// "name value" of every measure.
std::string measure_rows(const LayerStats& s) {
  std::vector<std::string> items;
  for (const auto& [name, value] : s.measures) items.push_back(fmt::format("{} {:.4g}", name, value));
  return wrapped(items);
}

// The experts' dropped shares of their assignments, the largest first.
std::string drop_rows(const LayerStats& s) {
  if (s.dropped_share == 0) return "";
  std::vector<size_t> order;
  for (size_t e = 0; e < s.dropped.size(); ++e) {
    if (s.dropped[e] > 0) order.push_back(e);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return s.dropped_of(a) > s.dropped_of(b); });
  std::vector<std::string> items{fmt::format("dropped {:.2f}%; by expert", 100 * s.dropped_share)};
  for (const size_t e : order) {
    if (items.size() > kMostDrops) {
      items.emplace_back("...");
      break;
    }
    items.push_back(fmt::format("{}: {:.1f}%", e, 100 * s.dropped_of(e)));
  }
  return wrapped(items);
}

std::string heading(const Inspection& i, const Painter& paint) {
  const Evaluation& e = i.evaluation;
  std::string text =
      fmt::format("{}\nstep {} | {} parameters, {} active per token\n", paint(Colour::bold, i.checkpoint), i.step,
                  format_count(static_cast<double>(i.summary.parameters)),
                  format_count(static_cast<double>(i.summary.active_parameters)));
  text += fmt::format("{} of {} | {:.0f} predictions\n{}\n", i.split, i.data, e.tokens, join(to_words(e), " | "));
  const EvaluationPoint* best = i.history.best();
  if (best && !std::isnan(best->quality)) {
    text += fmt::format("best evaluation of the run: {} {:.4f} at step {}\n", i.history.judged_by->key, best->quality,
                        best->step);
  }
  return text;
}

}  // namespace

// The latest training losses of a mixture's corpora, or nothing.
static std::string sources_text(const RunHistory& history) {
  if (history.train.empty() || history.train.back().source_losses.empty()) return "";
  const TrainPoint& last = history.train.back();
  std::vector<std::string> items;
  for (const auto& [name, loss] : last.source_losses) {
    items.push_back(fmt::format("{} {:.4f} ({:.3g}% of the samples)", name, loss, 100 * last.source_shares.at(name)));
  }
  return "training loss by corpus: " + join(items, ", ") + "\n";
}

std::string text_report(const Inspection& i, bool colour) {
  const Painter paint(colour);
  std::string text = heading(i, paint) + sources_text(i.history);
  if (i.layers.empty()) return text + "no MoE layers\n" + communication_text(i.history);
  const auto more = [&](const LayerStats& s) { return s.experts() != i.layers[0].experts(); };
  const bool differ = std::any_of(i.layers.begin(), i.layers.end(), more);
  text += fmt::format("{} MoE layer{} of {} experts, {}{} per token", i.layers.size(), i.layers.size() == 1 ? "" : "s",
                      i.experts_in_words(), differ ? "at most " : "", i.experts_per_token);
  text += differ ? "\n\n"
                 : fmt::format("; a fair share is {:.3g}%\n\n", 100.0 / static_cast<double>(i.layers[0].experts()));
  text += paint(Colour::faint, header_row());
  for (const LayerStats& s : i.layers) {
    text += layer_row(s, paint) + (s.experts() > kBarColumns ? sorted_rows(s, paint) : expert_rows(s, paint)) +
            drop_rows(s) + measure_rows(s);
  }
  text += modality_text(i, colour);
  text += specialisation_text(i);
  text += sample_use_text(i.use);
  text += lifecycle_text(i.history);
  text += placement_text(i.history);
  text += communication_text(i.history);
  text += paint(Colour::faint,
                fmt::format("\nbars: load of each expert, ▄ fair share, █ {:.0f} times it or more, × dead (no token)\n"
                            "weak: less than {:.0f}% of a fair share, not dead\n"
                            "load H, gate H: entropy / ln experts of the load and of router probabilities\n"
                            "|in| |out| |gate|: mean Frobenius norm of experts' matrices and router's rows\n",
                            kFullBar, 100 * LayerStats::kNearlyDead));
  return text;
}

}  // namespace moe
