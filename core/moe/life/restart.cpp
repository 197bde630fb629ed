// An under-used expert starts again as a copy of the busiest one, with noise that lets the two part; the optimizer
// forgets what it knew of it. As dead codes of vector quantisation are restarted (Dhariwal et al., 2020, Jukebox).
#include "core/moe/expert_event.h"

namespace moe {
namespace {

struct Options : Fields<Options>, EventOptions {
  double noise = 0.1, router_noise = 0.1;
  Options() { below = 0.1; }

  void fields(FieldVisitor& v) override {
    v.field("noise", noise, "on the copy's weights, over their root mean square", {0, 10});
    v.field("router_noise", router_noise, "on what the router knows it by, likewise", {0, 10});
    schedule_fields(v);
    use_fields(v);
  }
};

class RestartEvent : public ExpertEvent {
 public:
  RestartEvent(const Options& options, const Setup& setup)
      : ExpertEvent("restart", options, options, setup), noise_(options.noise), router_noise_(options.router_noise) {
    if (options.below == 0) raise<UsageError>("{}: says which experts are restarted, and is 0", options.where("below"));
  }

  ExpertMapping map(const ExpertUse& use) const override { return restarting(use.share, under_used(use)); }
  double noise() const override { return noise_; }
  double router_noise() const override { return router_noise_; }

 private:
  const double noise_, router_noise_;
};

}  // namespace

Member restart_event() {
  return member<ExpertEvent, RestartEvent, Options>("restart", "makes under-used experts anew from the busiest");
}

}  // namespace moe
