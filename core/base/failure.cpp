#include "core/base/failure.h"

#include <exception>
#include <filesystem>
#include <new>
#include <stdexcept>

namespace moe {

Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const std::filesystem::filesystem_error& error) {
    return {ExitCode::checkpoint, error.what()};
  } catch (const std::bad_alloc&) {
    return {ExitCode::device, "out of memory"};
  } catch (const std::length_error&) {
    return {ExitCode::device, "out of memory: something has more elements than any memory could hold"};
  } catch (const std::exception& error) {
    return {ExitCode::internal, error.what()};
  }
}

}  // namespace moe
