#include "core/base/error.h"

namespace moe {

Error::~Error() = default;

}  // namespace moe
