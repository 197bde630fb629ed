// An under-used expert restarts as a copy of the most used one, with noise so that the two diverge. The optimizer's
// moments of the copy are reset. Dead codes of vector quantisation are restarted in the same way (Dhariwal et al.,
// 2020, Jukebox).
#include "core/moe/expert_event.h"

namespace moe {
namespace {

struct Options : Fields<Options>, EventOptions {
  double noise = 0.1, router_noise = 0.1;
  Options() { below = 0.1; }

  void fields(FieldVisitor& v) override {
    v.field("noise", noise,
            "standard deviation of the noise on the copy's weights, relative to the weights' root mean square",
            {0, 10});
    v.field("router_noise", router_noise,
            "standard deviation of the noise on the copy's router row, relative to the row's root mean square",
            {0, 10});
    schedule_fields(v);
    use_fields(v);
  }
};

class RestartEvent : public ExpertEvent {
 public:
  RestartEvent(const Options& options, const Setup& setup)
      : ExpertEvent("restart", options, options, setup), noise_(options.noise), router_noise_(options.router_noise) {
    if (options.below == 0)
      raise<UsageError>("{}: decides which experts are restarted and is 0, so none would be; set it above 0, e.g. 0.1",
                        options.where("below"));
  }

  ExpertMapping map(const ExpertUse& use) const override { return restarting(use.share, under_used(use)); }
  double noise() const override { return noise_; }
  double router_noise() const override { return router_noise_; }

 private:
  const double noise_, router_noise_;
};

}  // namespace

Member restart_event() {
  return member<ExpertEvent, RestartEvent, Options>("restart",
                                                    "replaces under-used experts by noisy copies of the most used one");
}

}  // namespace moe
