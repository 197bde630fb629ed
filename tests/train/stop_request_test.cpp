#include "core/train/stop_request.h"

#include <csignal>

#include "comm/self_communicator.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("the time limit ends a run while there is time for an update and a checkpoint, on the rank with the clock") {
  SelfCommunicator alone;
  CHECK(process_seconds() > 0);
  CHECK(StopRequest(Duration::seconds(0), true).before_update() == 0);
  CHECK(StopRequest(Duration::seconds(1e-3), true).before_update() == SIGTERM);
  CHECK(StopRequest(Duration::seconds(1e-3), false).before_update() == 0);

  StopRequest stop(Duration::seconds(process_seconds() + 1e6), true);
  CHECK(stop.before_update() == 0);
  CHECK(stop.before_part(5e5, alone) == 0);
  CHECK(stop.before_part(2e6, alone) == SIGTERM);
  stop.took_update(3e5);  // this update and one more are possible
  CHECK(stop.before_update() == 0);
  stop.expect_checkpoint(5e5);
  CHECK(stop.before_update() == SIGTERM);
  stop.took_checkpoint(1);  // it takes less than expected
  CHECK(stop.before_update() == 0);
  stop.took_checkpoint(5e5);
  CHECK(stop.before_update() == SIGTERM);
  CHECK(stop.is_late());
  stop.took_checkpoint(1);  // the longest counts
  CHECK(stop.before_update() == SIGTERM);
}

TEST_CASE("a signal is asked for before the time limit is looked at") {
  const StopRequest stop(Duration::seconds(1e-3), true);
  raise(SIGINT);
  CHECK(stop.before_update() == SIGINT);
  CHECK_FALSE(stop.is_late());
}
