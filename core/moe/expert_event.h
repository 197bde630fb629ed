// ExpertEvent: something that happens to a layer's experts during training (moe.life). Members are in life/, the table
// in expert_event.cpp; core/lifecycle/expert_life.h decides when one happens and carries it out.
#pragma once
#include <functional>

#include "core/config/moe_config.h"
#include "core/moe/expert_mapping.h"

namespace moe {

// Fields that every member has: when it happens. Scheduled by `at`, `every` or `opened`; else whenever an expert has
// been under-used for long enough.
struct EventOptions {
  std::vector<std::string> at, opened;
  Duration every = Duration::updates(0);
  double below = 0;
  int64_t patience = 100, times = 0;

  bool is_scheduled() const { return !at.empty() || !opened.empty() || every.amount > 0; }
  void schedule_fields(FieldVisitor& v) {
    v.field("at", at, "lengths of training after which it happens, such as [10%, 5000]");
    v.field("every", every, "distance at which it happens again and again; 0 = not");
    v.field("opened", opened,
            "it happens when a curriculum has opened these shares of the difficulties, such as [50%]");
    v.field("times", times, "it happens so often at most; 0 = no limit", {0, 1'000'000'000});
  }
  void use_fields(FieldVisitor& v) {
    v.field("below", below,
            "an expert is under-used whose share of the assignments is below this part of the fair share; 0 = none is",
            {0, 1});
    v.field("for", patience, "updates in a row that its share must have been below", {1, 1'000'000'000});
  }
  void scale_field(FieldVisitor& v, bool& scale_k) const {
    v.field("scale_k", scale_k, "experts per token are multiplied like the experts");
  }
};

// What a layer's experts have been doing; the same on every rank and in any layout.
struct ExpertUse {
  std::span<const double> share;  // (experts) of the assignments: a moving average over updates
  std::span<const int64_t> low;   // (experts) latest updates in a row with a share below `below` times the fair share
  // How alike two experts are to the router: the cosine of what it knows them by.
  std::function<double(int64_t, int64_t)> likeness;
  int64_t experts() const { return static_cast<int64_t>(share.size()); }
};

class ExpertEvent {
 public:
  struct Setup {
    RunLength run;
  };

  // `fields`: the options once more, which know their keys. Throws UsageError for times that cannot be read, and where
  // the event would never happen.
  ExpertEvent(const std::string& kind, const EventOptions& options, const FieldSet& fields, const Setup& setup);
  virtual ~ExpertEvent() = default;

  const std::string& kind() const { return kind_; }
  const EventOptions& options() const { return options_; }
  // Its own key, for messages.
  const std::string& key() const { return key_; }
  // Whether it is stated to happen after so many updates; `opened` apart.
  bool is_scheduled_at(int64_t step) const;
  // The shares of the difficulties that it waits for, in rising order.
  const std::vector<double>& opened() const { return opened_; }
  // Whether it happens at any time that the experts' use asks for it.
  bool is_triggered() const { return !options_.is_scheduled(); }

  // What is done to a layer. The identity when there is nothing to do, and only then if the event changes the number
  // of experts.
  virtual ExpertMapping map(const ExpertUse& use) const = 0;
  // The number of experts after it happens to so many.
  virtual int64_t experts_after(int64_t experts) const { return experts; }
  virtual bool scales_k() const { return false; }
  // Both together: what it makes of a layer's numbers.
  ExpertNumbers numbers_after(const ExpertNumbers& before) const {
    ExpertNumbers after{experts_after(before.experts), before.k_factor};
    if (scales_k()) after.k_factor *= static_cast<double>(after.experts) / static_cast<double>(before.experts);
    return after;
  }
  // Standard deviations over the root mean square of what is copied.
  virtual double noise() const { return 0; }
  virtual double router_noise() const { return 0; }

 protected:
  // Under-used for long enough, the least used first; all experts when `below` is 0.
  std::vector<int64_t> under_used(const ExpertUse& use) const;

 private:
  std::string kind_, key_;
  EventOptions options_;
  std::vector<int64_t> steps_;
  int64_t every_ = 0;
  std::vector<double> opened_;
};

}  // namespace moe
