// A comparison as text tables, for the terminal and for the web page.
#pragma once
#include <string>
#include <vector>

#include "core/inspect/comparison.h"
#include "core/inspect/report_table.h"

namespace moe {

ReportTable quality_table(const Comparison& comparison);   // the quality of the runs, and its difference
ReportTable evidence_table(const Comparison& comparison);  // what the verdicts rest on
ReportTable match_table(const Comparison& comparison);     // tokens until the baseline's quality is reached
ReportTable speedup_table(const Comparison& comparison);   // cost at which the baseline is as good, over the own cost
ReportTable cost_table(const Comparison& comparison);      // time, operations, parameters
ReportTable experts_table(const Comparison& comparison);   // utilisation of the experts
ReportTable measures_table(const Comparison& comparison);  // measures reported by routers and strategies

// Summary of the runs: "2 configurations, 6 runs, ...".
std::string comparison_headline(const Comparison& comparison);
// What the comparison shows, as one sentence; empty with a single configuration.
std::string comparison_answer(const Comparison& comparison);
// The line "changes from the baseline" of a configuration; empty if there are none.
std::string changes_line(const ComparedConfig& config);

// A remark: a run that was left out and why, or another note.
struct Remark {
  std::string label;  // "UNFAIR", "unfinished", ...
  std::string text;
  bool alarming = false;
};
std::vector<Remark> remarks(const Comparison& comparison);

// Explains the report's columns and intervals.
std::string reading_help(const Comparison& comparison);

}  // namespace moe
