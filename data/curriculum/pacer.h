// Pacer: which share of the samples, by difficulty, is open as the run goes on (the competence of Platanios et al.,
// "Competence-based curriculum learning for neural machine translation", 2019). Members are in pacers/, the table in
// pacer.cpp.
#pragma once
#include <algorithm>
#include <nlohmann/json_fwd.hpp>

#include "core/config/choice.h"

namespace moe {

class Pacer;
template <>
const Table<Member>& family<Pacer>();

// The fields of those that are open to all at some time.
struct PaceOptions {
  double start = 0.2;
  Duration over = Duration::percent(50);
  void common_fields(FieldVisitor& v) {
    v.field("start", start, "the share that is open at first", {0.001, 1});
    v.field("over", over, "when all is open");
  }
};

class Pacer {
 public:
  struct Setup {
    RunLength run;
  };
  virtual ~Pacer() = default;

  // In (0, 1], for the update that is about to be made, counted from 0.
  virtual double open(int64_t update) const = 0;
  // After an update: the mean loss of the samples that were drawn from the open part.
  virtual void observe(int64_t /*update*/, double /*loss*/) {}
  // What observe() has to remember.
  virtual nlohmann::json state() const;
  virtual void restore(const nlohmann::json& /*state*/) {}
};

// Progress in [0, 1] on the way to `over` updates.
inline double pace_progress(int64_t update, double over) {
  return over > 0 ? std::min(static_cast<double>(update) / over, 1.0) : 1.0;
}

// Moves along a curve of its progress alone.
class CurvePacer : public Pacer {
 public:
  CurvePacer(const PaceOptions& options, const Setup& setup)
      : start_(options.start), over_(to_updates(options.over, setup.run)) {}
  double open(int64_t update) const final { return curve(start_, pace_progress(update, over_)); }

 private:
  // The open share when t in [0, 1] of the way is done; start at 0, 1 at 1.
  virtual double curve(double start, double t) const = 0;

  double start_, over_;
};

}  // namespace moe
