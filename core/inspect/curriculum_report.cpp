#include "core/inspect/curriculum_report.h"

#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/units.h"
#include "core/inspect/line_chart.h"
#include "core/inspect/markup.h"
#include "core/inspect/page.h"
#include "core/inspect/picture.h"

namespace moe {
namespace {

// Makes text printable on one line of at most `width` characters (UTF-8 is cut between characters).
std::string one_line(const std::string& text, size_t width) {
  std::string line;
  size_t characters = 0;
  for (size_t i = 0; i < text.size() && characters < width; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f) {
      line += ' ';
    } else {
      line += text[i];
    }
    characters += (byte & 0xc0) != 0x80;
  }
  while (!line.empty() && (static_cast<unsigned char>(line.back()) & 0xc0) == 0x80) line.pop_back();
  if (!line.empty() && static_cast<unsigned char>(line.back()) >= 0xc0) line.pop_back();
  return line;
}

const CurriculumPoint* last_point(const RunHistory& history) {
  for (auto p = history.train.rbegin(); p != history.train.rend(); ++p) {
    if (p->curriculum) return &*p->curriculum;
  }
  return nullptr;
}

std::string text_of(const char* title, const std::vector<RatedSample>& samples) {
  std::string text = fmt::format("\n{}\n", title);
  for (const RatedSample& s : samples) {
    text += fmt::format("  sample {:<9} rank {:.3f} score {:+.2f}", s.sample, s.rank, s.score);
    for (const auto& [name, value] : s.averages) text += fmt::format(" {} {:.4g}", name, value);
    if (s.last_seen > 0) text += fmt::format(" seen at {}", s.last_seen);
    text += "\n";
    if (!s.view.text.empty()) text += fmt::format("    {}\n", one_line(s.view.text, 76));
    if (s.view.pixels.empty()) continue;
    for (const std::string& line : split(picture_text(s.view), '\n')) text += line.empty() ? "" : "    " + line + "\n";
  }
  return text;
}

using Value = std::function<double(const CurriculumPoint&)>;

Curve curve(const std::string& name, const RunHistory& history, const Value& value) {
  Curve result{name, {}, {}};
  for (const TrainPoint& p : history.train) {
    if (!p.curriculum) continue;
    result.x.push_back(static_cast<double>(p.step));
    result.y.push_back(value(*p.curriculum));
  }
  return result;
}

Value in(std::map<std::string, double> CurriculumPoint::*member, const std::string& name) {
  return [=](const CurriculumPoint& p) {
    const auto it = (p.*member).find(name);
    return it == (p.*member).end() ? kAbsent : it->second;
  };
}

std::set<std::string> names_in(const RunHistory& history, std::map<std::string, double> CurriculumPoint::*member) {
  std::set<std::string> names;
  for (const TrainPoint& p : history.train) {
    for (const auto& entry : p.curriculum ? (*p.curriculum).*member : std::map<std::string, double>()) {
      names.insert(entry.first);
    }
  }
  return names;
}

Json to_json(const std::vector<RatedSample>& samples) {
  auto list = Json::array();
  for (const RatedSample& s : samples) {
    list.push_back({{"sample", s.sample}, {"rank", s.rank}, {"score", s.score}, {"last_seen", s.last_seen}});
    for (const auto& [name, value] : s.averages) list.back()[name] = value;
    list.back()["description"] = s.view.text;
  }
  return list;
}

std::string rows_of(const std::vector<RatedSample>& samples) {
  std::string html;
  for (const RatedSample& s : samples) {
    html += fmt::format("<tr><td>{}</td><td>{:.3f}</td><td>{:+.2f}</td>", s.sample, s.rank, s.score);
    for (const auto& entry : s.averages) html += fmt::format("<td>{:.4g}</td>", entry.second);
    html += fmt::format("<td>{}</td><td class=\"text\">{}{}</td></tr>\n", s.last_seen,
                        s.view.pixels.empty() ? "" : picture_markup(s.view) + " ",
                        escape_markup(one_line(s.view.text, 400)));
  }
  return html;
}

}  // namespace

std::string curriculum_text(const std::optional<CurriculumStats>& stats, const RunHistory& history) {
  std::string text;
  if (stats) {
    text += fmt::format("sampler {} | {} of {} samples seen | store {}\n", stats->sampler,
                        format_count(static_cast<double>(stats->seen)),
                        format_count(static_cast<double>(stats->samples)), format_bytes(stats->bytes));
  }
  if (const CurriculumPoint* p = last_point(history)) {
    text += fmt::format("open {:.0f} % of the samples, by difficulty\n", 100 * p->open);
    if (!p->drawn.empty()) text += "\ndrawn of late    share    wanted\n";
    for (const auto& [name, share] : p->drawn) {
      const auto wanted = p->wanted.find(name);
      text += fmt::format("  {:<12} {:>6.1f} %{}\n", name, 100 * share,
                          wanted == p->wanted.end() ? "" : fmt::format("  {:>6.1f} %", 100 * wanted->second));
    }
    if (!p->difficulty.empty()) text += "\nevenly drawn samples   10 %      50 %      90 %\n";
    for (const auto& [name, q] : p->difficulty) {
      text += fmt::format("  {:<16} {:>9.4g} {:>9.4g} {:>9.4g}\n", name, q[0], q[1], q[2]);
    }
  }
  if (stats && stats->seen > 0) {
    text += "\nscores of all seen samples\n ";
    for (const auto& [q, score] : stats->score_quantiles) text += fmt::format(" {:.0f} %: {:+.2f}", 100 * q, score);
    text += "\n" + text_of("easiest", stats->easiest) + text_of("hardest", stats->hardest);
  }
  return text;
}

Json curriculum_json(const std::optional<CurriculumStats>& stats, const RunHistory& history) {
  Json json = Json::object();
  if (stats) {
    json = {{"sampler", stats->sampler}, {"samples", stats->samples}, {"seen", stats->seen}, {"bytes", stats->bytes}};
    for (const auto& [q, score] : stats->score_quantiles) json["score_quantiles"].push_back({q, score});
    json["easiest"] = to_json(stats->easiest);
    json["hardest"] = to_json(stats->hardest);
  }
  if (const CurriculumPoint* p = last_point(history)) {
    json["open"] = p->open;
    json["drawn"] = p->drawn;
    json["wanted"] = p->wanted;
    json["difficulty"] = p->difficulty;
  }
  return json;
}

std::string curriculum_plots(const RunHistory& history) {
  if (!last_point(history)) return "";
  LineChart open{"Open part", "share of the samples, by difficulty, that is open; share of the samples seen", "step"};
  open.curves = {curve("open", history, [](const CurriculumPoint& p) { return p.open; }),
                 curve("seen", history, [](const CurriculumPoint& p) { return p.seen; })};
  open.from_zero = true;
  std::vector<LineChart> charts{open};
  for (const std::string& name : names_in(history, &CurriculumPoint::wanted)) {
    LineChart mix{fmt::format("Drawn as {}", name), "share of the samples", "step"};
    mix.curves = {curve("drawn", history, in(&CurriculumPoint::drawn, name)),
                  curve("wanted", history, in(&CurriculumPoint::wanted, name))};
    mix.from_zero = true;
    charts.push_back(mix);
  }
  std::set<std::string> signals;
  for (const TrainPoint& p : history.train) {
    if (!p.curriculum) continue;
    for (const auto& entry : p.curriculum->difficulty) signals.insert(entry.first);
  }
  for (const std::string& name : signals) {
    LineChart chart{fmt::format("Difficulty: {}", name), "of evenly drawn samples: median, and from 10 % to 90 %",
                    "step"};
    const auto quantile = [&](size_t which) {
      return curve("median", history, [&, which](const CurriculumPoint& p) {
        const auto it = p.difficulty.find(name);
        return it == p.difficulty.end() ? kAbsent : it->second[which];
      });
    };
    Curve median = quantile(1);
    median.low = quantile(0).y;
    median.high = quantile(2).y;
    chart.curves = {median};
    chart.cut_beginning = true;
    charts.push_back(chart);
  }
  return draw(charts);
}

std::string curriculum_tables(const CurriculumStats& stats) {
  if (stats.seen == 0) return "";
  std::vector<std::string> columns = {"sample", "rank", "score"};
  for (const auto& entry : stats.easiest[0].averages) columns.push_back(entry.first);
  columns.insert(columns.end(), {"last seen", "sample"});
  const auto table = [&](const char* title, const std::vector<RatedSample>& samples) {
    return fmt::format("<details open><summary>{}</summary>\n<div class=\"card scroll\"><table>\n{}<tbody>\n{}", title,
                       header_cells(columns), rows_of(samples)) +
           "</tbody></table></div></details>\n";
  };
  return fmt::format("<p class=\"sub\">{} of {} samples seen; the store takes {}</p>\n",
                     format_count(static_cast<double>(stats.seen)), format_count(static_cast<double>(stats.samples)),
                     format_bytes(stats.bytes)) +
         table("The easiest samples", stats.easiest) + table("The hardest samples", stats.hardest);
}

}  // namespace moe
