// A comparison as tables of text, for the terminal and for the web page.
#pragma once
#include <string>
#include <vector>

#include "core/inspect/comparison.h"

namespace moe {

struct ReportTable {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // one a configuration
};

ReportTable quality_table(const Comparison& comparison);   // what the runs are judged by, and its difference
ReportTable match_table(const Comparison& comparison);     // tokens until as good as the baseline
ReportTable cost_table(const Comparison& comparison);      // time, operations, parameters
ReportTable experts_table(const Comparison& comparison);   // who does the work
ReportTable measures_table(const Comparison& comparison);  // what routers and strategies tell of themselves

// What the runs were: "2 configurations, 6 runs, ...".
std::string comparison_headline(const Comparison& comparison);
// "changes from the baseline" of a configuration; empty for none.
std::string changes_line(const ComparedConfig& config);

// What was left out, and why, and what else has to be known.
struct Remark {
  std::string label;  // "UNFAIR", "unfinished", ...
  std::string text;
  bool alarming = false;
};
std::vector<Remark> remarks(const Comparison& comparison);

// What the report does not tell by itself: how the intervals are meant.
std::string reading_help(const Comparison& comparison);

}  // namespace moe
