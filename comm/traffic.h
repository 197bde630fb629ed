// Records what the ranks send to each other in a training step: what for, how many bytes and messages, and when.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <vector>

namespace moe {

class Communicator;

// What a communication of a training step is for.
enum class TrafficKind {
  dispatch,   // rows on their way to their experts, and their counts; in backward, gradients of these rows
  combine,    // the experts' outputs on their way back; in backward, gradients of these
  gradients,  // sums of the parameters' gradients
  weights,    // new values of parameters, from the ranks that updated them
  replicas,   // copies of experts: their new weights, and their gradients on the way to the experts' own ranks
  sums,       // losses, routing statistics, norms, and whatever has no other kind
};
inline constexpr std::array kTrafficKinds{TrafficKind::dispatch, TrafficKind::combine,  TrafficKind::gradients,
                                          TrafficKind::weights,  TrafficKind::replicas, TrafficKind::sums};
const char* name_of(TrafficKind kind);

struct TrafficLabel {
  TrafficKind kind = TrafficKind::sums;
  int layer = -1;  // the block; -1 for what belongs to none. Gradients belong to the block that completes them.
  auto operator<=>(const TrafficLabel&) const = default;
};

// What a rank sends, to ranks on its host and on others.
struct TrafficCounts {
  int64_t bytes_inside = 0, bytes_between = 0;
  int64_t messages_inside = 0, messages_between = 0;
  int64_t bytes() const { return bytes_inside + bytes_between; }
  int64_t messages() const { return messages_inside + messages_between; }
};
inline constexpr std::array kTrafficCounts{&TrafficCounts::bytes_inside, &TrafficCounts::bytes_between,
                                           &TrafficCounts::messages_inside, &TrafficCounts::messages_between};

// One communication of a rank. Times are in seconds since the step began.
struct TrafficEvent {
  TrafficLabel label;
  TrafficCounts counts;
  std::shared_ptr<Communicator> ranks{};  // that take part
  double begin = 0, end = 0;              // when it was carried out; for one that blocks, the whole call
  double hidden = 0;                      // seconds of that during which the program computed
  double waiting = 0;                     // seconds of that which finish() takes for waiting for the slowest rank
  bool blocks = true;                     // the program waited for it from its begin to its end
  bool is_timed = true;                   // false for tensors on a GPU, whose work the host does not wait for
};

// A part of a step.
struct StepPhase {
  const char* name;
  double begin, end;
};

struct RankSpread {
  double mean = 0, largest = 0;  // over the ranks
};

// All communications of one label in a step.
struct TrafficRow {
  TrafficLabel label;
  TrafficCounts counts;  // sums over the ranks
  bool is_timed = true;
  // Seconds: of messages on their way, without `waiting`; of waiting for the slowest rank; and the part of `transfer`
  // during which the program computed.
  RankSpread transfer, waiting, hidden;
  double lost() const {
    return transfer.mean + waiting.mean - hidden.mean;
  }  // mean seconds that it made the step longer
};

// What a step of all ranks sent.
struct TrafficProfile {
  int ranks = 1, hosts = 1;
  double seconds = 0;             // of the step, mean over the ranks
  std::vector<TrafficRow> rows;   // by label; the same on all ranks
  std::vector<StepPhase> phases;  // of this rank, as are the events
  std::vector<TrafficEvent> events;
  double lost() const;  // share of the step
};

// Seconds of the clock that never jumps, by which communicators say when a communication was carried out.
double steady_seconds();

// Records the communications of one rank. ProfiledCommunicator reports them.
class TrafficRecorder {
 public:
  using Clock = double (*)();
  explicit TrafficRecorder(Clock clock = steady_seconds) : clock_(clock) {}

  // What is sent from now on belongs to a step that is recorded.
  void begin_step();
  bool is_on() const { return is_on_; }
  double now() const { return clock_() - start_; }  // since the step began
  double since_start(double clock_seconds) const { return clock_seconds - start_; }
  void add(const TrafficEvent& event) { events_.push_back(event); }
  void add(const StepPhase& phase) { phases_.push_back(phase); }

  // Ends the step. Collective over `world`, a communicator of all ranks that is not profiled, or is.
  // Among the ranks of a communication that blocks, the one that arrives last does not wait for another. So the
  // shortest time that one of them spends in it counts as transfer, and what the others spend beyond as waiting.
  TrafficProfile finish_step(Communicator& world);

  TrafficLabel label;  // of what is sent next; scopes set it

 private:
  Clock clock_;
  bool is_on_ = false;
  double start_ = 0;
  std::vector<TrafficEvent> events_;
  std::vector<StepPhase> phases_;
};

// Names what is sent in a scope. `recorder` may be null.
class TrafficScope {
 public:
  TrafficScope(TrafficRecorder* recorder, TrafficKind kind) : TrafficScope(recorder) {
    if (recorder) recorder->label.kind = kind;
  }
  TrafficScope(TrafficRecorder* recorder, int layer) : TrafficScope(recorder) {
    if (recorder) recorder->label.layer = layer;
  }
  TrafficScope(TrafficRecorder* recorder, const TrafficLabel& label) : TrafficScope(recorder) {
    if (recorder) recorder->label = label;
  }
  ~TrafficScope() {
    if (recorder_) recorder_->label = before_;
  }
  TrafficScope(const TrafficScope&) = delete;
  TrafficScope& operator=(const TrafficScope&) = delete;

 private:
  explicit TrafficScope(TrafficRecorder* recorder)
      : recorder_(recorder), before_(recorder ? recorder->label : TrafficLabel{}) {}

  TrafficRecorder* recorder_;
  TrafficLabel before_;
};

// A part of the step that lasts as long as the scope.
class PhaseScope {
 public:
  PhaseScope(TrafficRecorder* recorder, const char* name)
      : recorder_(recorder && recorder->is_on() ? recorder : nullptr),
        name_(name),
        begin_(recorder_ ? recorder_->now() : 0) {}
  ~PhaseScope() {
    if (recorder_) recorder_->add(StepPhase{name_, begin_, recorder_->now()});
  }
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  TrafficRecorder* recorder_;
  const char* name_;
  double begin_;
};

}  // namespace moe
