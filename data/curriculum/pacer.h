// Pacer: the share of the samples, by difficulty, that is open at each point of the run (the competence of Platanios et
// al., "Competence-based curriculum learning for neural machine translation", 2019). Members are in pacers/, the table
// is in pacer.cpp.
#pragma once
#include <algorithm>

#include "core/base/json.h"
#include "core/config/choice.h"

namespace moe {

class Pacer;
template <>
const Table<Member>& family<Pacer>();

// Fields of the pacers that open everything at some time.
struct PaceOptions {
  double start = 0.2;
  Duration over = Duration::percent(50);
  void common_fields(FieldVisitor& v) {
    v.field("start", start, "share of the samples, by difficulty, that is open at the first update", {0.001, 1});
    v.field("over", over, "time at which all samples are open");
  }
};

class Pacer {
 public:
  struct Setup {
    RunLength run;
  };
  virtual ~Pacer() = default;

  // The open share in (0, 1] for update `update`, counted from 0, before it is made.
  virtual double open(int64_t update) const = 0;
  // Called after an update with the mean loss of the samples that were drawn from the open share.
  virtual void observe(int64_t /*update*/, double /*loss*/) {}
  // The state that observe() keeps.
  virtual Json state() const;
  virtual void restore(const Json& /*state*/) {}
};

// Progress in [0, 1] towards `over` updates.
inline double pace_progress(int64_t update, double over) {
  return over > 0 ? std::min(static_cast<double>(update) / over, 1.0) : 1.0;
}

// Follows a curve that depends on progress alone.
class CurvePacer : public Pacer {
 public:
  CurvePacer(const PaceOptions& options, const Setup& setup)
      : start_(options.start), over_(to_updates(options.over, setup.run)) {}
  double open(int64_t update) const final { return curve(start_, pace_progress(update, over_)); }

 private:
  // The open share at progress t in [0, 1]: `start` at 0, 1 at 1.
  virtual double curve(double start, double t) const = 0;

  double start_, over_;
};

}  // namespace moe
