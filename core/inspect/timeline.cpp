#include "core/inspect/timeline.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <string_view>

#include "comm/traffic.h"
#include "core/inspect/axis.h"
#include "core/inspect/line_chart.h"
#include "core/inspect/markup.h"

namespace moe {
namespace {

constexpr double kWidth = 1108, kLeft = 96, kRight = kWidth - 14, kTop = 8, kLane = 30, kBar = 20, kBottom = 42;

// The lanes below the one of the phases, and their colours.
struct Lane {
  TrafficKind kind;
  int colour;
};
constexpr std::array kLanes{Lane{TrafficKind::dispatch, 1},  Lane{TrafficKind::combine, 3},
                            Lane{TrafficKind::gradients, 2}, Lane{TrafficKind::weights, 6},
                            Lane{TrafficKind::replicas, 4},  Lane{TrafficKind::sums, 7}};
static_assert(kLanes.size() == kTrafficKinds.size(), "a kind of communication has no lane");

// Phases that are drawn; waiting for the reduction is not.
struct DrawnPhase {
  std::string_view name;
  int colour;
};
constexpr DrawnPhase kPhases[] = {{"forward", 0}, {"backward", 5}, {"update", 7}, {"forward for sums", 6}};

double end_of(const Timeline& t) {
  double end = 0;
  for (const Timeline::Phase& p : t.phases) end = std::max(end, p.end);
  for (const Timeline::Event& e : t.events) end = std::max(end, e.end);
  return end;
}

class Drawing {
 public:
  explicit Drawing(double end) : axis_(linear_axis(0, end * 1e3, 10)) {}

  // A bar of seconds in a lane. `css`: its class.
  std::string bar(double lane, double begin, double end, std::string_view css, const std::string& title) const {
    return fmt::format(
        "<rect class=\"{}\" x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.0f}\"><title>{}</title></rect>\n",
        css, x(begin), kTop + kLane * lane, std::max(x(end) - x(begin), 0.4), kBar, escape_markup(title));
  }
  std::string name(double lane, std::string_view text) const {
    return fmt::format("<text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kLeft - 10,
                       kTop + kLane * lane + 14, escape_markup(text));
  }
  const Axis& axis() const { return axis_; }

 private:
  double x(double seconds) const { return kLeft + axis_.position(seconds * 1e3) * (kRight - kLeft); }
  Axis axis_;
};

std::string interval(double begin, double end) {
  return fmt::format("{:.3f} ms, from {:.3f} to {:.3f}", (end - begin) * 1e3, begin * 1e3, end * 1e3);
}

// A communication that the program waited for, with its waiting first, or one that went on while it computed.
std::string draw_event(const Drawing& drawing, double lane, int colour, const Timeline::Event& e) {
  const std::string place = e.layer < 0 ? e.kind : fmt::format("{}, block {}", e.kind, e.layer);
  const double arrived = std::min(e.begin + e.waiting, e.end);
  std::string svg;
  if (e.waiting > 0) {
    svg += drawing.bar(lane, e.begin, arrived, fmt::format("span wait c{}", colour),
                       fmt::format("{}: waiting {}", place, interval(e.begin, arrived)));
  }
  const std::string hidden = e.hidden > 0 ? fmt::format("; {:.3f} ms hidden", e.hidden * 1e3) : "";
  return svg + drawing.bar(lane, arrived, e.end, fmt::format("span{} c{}", e.hidden > 0 ? " behind" : "", colour),
                           fmt::format("{}: {}{}", place, interval(arrived, e.end), hidden));
}

}  // namespace

std::string draw(const Timeline& t) {
  const double end = end_of(t);
  if (!(end > 0)) return "";
  const Drawing drawing(end);
  std::string bars = drawing.name(0, "phase");
  for (const Timeline::Phase& p : t.phases) {
    const auto* const known = std::find_if(std::begin(kPhases), std::end(kPhases),
                                           [&](const DrawnPhase& drawn) { return drawn.name == p.name; });
    if (known == std::end(kPhases)) continue;
    bars += drawing.bar(0, p.begin, p.end, fmt::format("span c{}", known->colour),
                        fmt::format("{}: {}", p.name, interval(p.begin, p.end)));
  }
  double lane = 1;
  for (const Lane& row : kLanes) {
    std::string events;
    for (const Timeline::Event& e : t.events) {
      if (e.kind == name_of(row.kind)) events += draw_event(drawing, lane, row.colour, e);
    }
    if (events.empty()) continue;
    bars += drawing.name(lane, name_of(row.kind)) + events;
    ++lane;
  }
  const double bottom = kTop + kLane * lane;
  const std::string title =
      fmt::format("Update {}{}", t.step, std::isnan(t.rank) ? "" : fmt::format(" of rank {:.0f}", t.rank));
  std::string svg = fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\"><title>{}</title>\n", kWidth,
                                bottom + kBottom, title);
  svg += draw_x_axis(drawing.axis(), kLeft, kRight, bottom, "milliseconds") + bars + "</svg>\n";
  return figure(title,
                "phases above; below, messages by kind: full colour where the program waited for them, dashed outline "
                "while it waited for the slowest rank, pale where it computed meanwhile",
                svg, "wide");
}

}  // namespace moe
