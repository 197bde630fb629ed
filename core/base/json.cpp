#include "core/base/json.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>
#include <unordered_map>
#include <utility>

#include "core/base/base64.h"
#include "core/base/error.h"
#include "core/base/text.h"

namespace moe {

// Objects of many members, such as vocabularies, have an index by key; for few members a search is faster.
struct Json::Object {
  static constexpr size_t kFew = 16;

  std::vector<Member> members;
  std::unordered_map<std::string, size_t> index;  // empty while there are at most kFew

  size_t place(std::string_view key) const {
    if (!index.empty()) {
      const auto found = index.find(std::string(key));
      return found == index.end() ? members.size() : found->second;
    }
    size_t i = 0;
    while (i < members.size() && members[i].key != key) ++i;
    return i;
  }
  Json& add(std::string_view key) {
    members.push_back({std::string(key), Json()});
    if (!index.empty()) {
      index.emplace(key, members.size() - 1);
    } else if (members.size() > kFew) {
      make_index();
    }
    return members.back().value;
  }
  void erase(size_t place) {
    members.erase(members.begin() + static_cast<std::ptrdiff_t>(place));
    index.clear();
    if (members.size() > kFew) make_index();
  }

 private:
  void make_index() {
    for (size_t i = 0; i < members.size(); ++i) index.emplace(members[i].key, i);
  }
};

static constexpr const char* kBytes = "base64";  // the only member of an object that stands for a string of bytes
static constexpr const char* kTypeNames[] = {"null",     "a boolean", "an integer", "an integer",
                                             "a number", "a string",  "an array",   "an object"};

static const char* name_of(Json::Type type) {
  return kTypeNames[static_cast<size_t>(type)];
}

[[noreturn]] static void refuse(const char* expected, Json::Type found) {
  throw JsonError(fmt::format("expected {}, found {}", expected, name_of(found)));
}

// ---- making and copying ---------------------------------------------------------------------------------------------

void Json::set_unsigned(uint64_t value) noexcept {
  if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    type_ = Type::integer;
    value_.integer = static_cast<int64_t>(value);
  } else {
    type_ = Type::large_integer;
    value_.large_integer = value;
  }
}

Json::Json(const char* text) : Json(std::string(text)) {}
Json::Json(std::string_view text) : Json(std::string(text)) {}
Json::Json(std::string text) : type_(Type::string), value_{.string = new std::string(std::move(text))} {}

Json::Json(std::initializer_list<Json> items) {
  const bool members = std::all_of(items.begin(), items.end(), [](const Json& item) {
    return item.is_array() && item.size() == 2 && item.element(0).is_string();
  });
  if (members) {
    *this = object();
    for (const Json& item : items) (*this)[*item.element(0).value_.string] = item.element(1);
  } else {
    *this = array();
    value_.array->assign(items.begin(), items.end());
  }
}

Json::Json(const std::vector<bool>& values) : Json(array()) {
  for (const bool value : values) value_.array->emplace_back(value);
}

Json::Json(const Json& other) : type_(other.type_), value_(other.value_) {
  switch (type_) {
    case Type::string:
      value_.string = new std::string(*other.value_.string);
      break;
    case Type::array:
      value_.array = new std::vector<Json>(*other.value_.array);
      break;
    case Type::object:
      value_.object = new Object(*other.value_.object);
      break;
    default:
      break;
  }
}

Json::Json(Json&& other) noexcept {
  std::swap(type_, other.type_);
  std::swap(value_, other.value_);
}

Json& Json::operator=(Json other) noexcept {
  std::swap(type_, other.type_);
  std::swap(value_, other.value_);
  return *this;
}

Json::~Json() {
  switch (type_) {
    case Type::string:
      delete value_.string;
      break;
    case Type::array:
      delete value_.array;
      break;
    case Type::object:
      delete value_.object;
      break;
    default:
      break;
  }
}

Json Json::array() {
  Json json;
  json.value_.array = new std::vector<Json>();
  json.type_ = Type::array;
  return json;
}

Json Json::object() {
  Json json;
  json.value_.object = new Object();
  json.type_ = Type::object;
  return json;
}

// ---- reading --------------------------------------------------------------------------------------------------------

void Json::require(Type type) const {
  if (type_ != type) refuse(name_of(type), type_);
}

void Json::require_elements(size_t count) const {
  require(Type::array);
  if (value_.array->size() != count)
    throw JsonError(fmt::format("expected {} elements, found {}", count, value_.array->size()));
}

void Json::read(bool& value) const {
  require(Type::boolean);
  value = value_.boolean;
}

void Json::read(double& value) const {
  switch (type_) {
    case Type::integer:
      value = static_cast<double>(value_.integer);
      break;
    case Type::large_integer:
      value = static_cast<double>(value_.large_integer);
      break;
    case Type::real:
      value = value_.real;
      break;
    default:
      refuse("a number", type_);
  }
}

void Json::read(float& value) const {
  value = static_cast<float>(get<double>());
}

void Json::read(std::string& value) const {
  if (is_object() && size() == 1 && items()[0].key == kBytes) {
    try {
      value = from_base64(items()[0].value.get<std::string>());
    } catch (const DataError& error) {
      throw JsonError(error.what());
    }
    return;
  }
  require(Type::string);
  value = *value_.string;
}

int64_t Json::read_signed(int64_t min, int64_t max) const {
  int64_t value = value_.integer;
  if (type_ == Type::real && value_.real == std::trunc(value_.real) && std::abs(value_.real) < 0x1p63) {
    value = static_cast<int64_t>(value_.real);
  } else if (type_ == Type::real || type_ == Type::large_integer) {
    throw JsonError(fmt::format("expected an integer from {} to {}, found {}", min, max, json_text(*this)));
  } else if (type_ != Type::integer) {
    refuse("an integer", type_);
  }
  if (value < min || value > max) {
    throw JsonError(fmt::format("expected an integer from {} to {}, found {}", min, max, value));
  }
  return value;
}

uint64_t Json::read_unsigned(uint64_t max) const {
  if (type_ == Type::large_integer && value_.large_integer <= max) return value_.large_integer;
  const auto most = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  return static_cast<uint64_t>(read_signed(0, static_cast<int64_t>(std::min(max, most))));
}

// ---- arrays ---------------------------------------------------------------------------------------------------------

const Json& Json::element(size_t index) const {
  require(Type::array);
  if (index >= value_.array->size()) {
    throw JsonError(fmt::format("element {} is absent: the array has {}", index, value_.array->size()));
  }
  return (*value_.array)[index];
}
Json& Json::element(size_t index) {
  return const_cast<Json&>(std::as_const(*this).element(index));
}

const Json& Json::back() const {
  require(Type::array);
  if (value_.array->empty()) throw JsonError("the array is empty");
  return value_.array->back();
}
Json& Json::back() {
  return const_cast<Json&>(std::as_const(*this).back());
}

void Json::push_back(Json value) {
  if (is_null()) *this = array();
  require(Type::array);
  value_.array->push_back(std::move(value));
}

const Json* Json::begin() const {
  if (is_null()) return nullptr;
  require(Type::array);
  return value_.array->data();
}
const Json* Json::end() const {
  return begin() + (is_null() ? 0 : value_.array->size());
}
Json* Json::begin() {
  return const_cast<Json*>(std::as_const(*this).begin());
}
Json* Json::end() {
  return const_cast<Json*>(std::as_const(*this).end());
}

// ---- objects --------------------------------------------------------------------------------------------------------

const Json* Json::find_in_object(std::string_view key) const {
  require(Type::object);
  const size_t place = value_.object->place(key);
  return place < value_.object->members.size() ? &value_.object->members[place].value : nullptr;
}

const Json* Json::find(std::string_view key) const {
  return is_object() ? find_in_object(key) : nullptr;
}
Json* Json::find(std::string_view key) {
  return const_cast<Json*>(std::as_const(*this).find(key));
}

const Json& Json::at(std::string_view key) const {
  const Json* member = find_in_object(key);
  if (!member) throw JsonError(fmt::format("'{}' is absent", key));
  return *member;
}
Json& Json::at(std::string_view key) {
  return const_cast<Json&>(std::as_const(*this).at(key));
}

Json& Json::operator[](std::string_view key) {
  if (is_null()) *this = object();
  if (Json* member = const_cast<Json*>(find_in_object(key))) return *member;
  return value_.object->add(key);
}

std::string Json::value(std::string_view key, const char* otherwise) const {
  return value(key, std::string(otherwise));
}

bool Json::erase(std::string_view key) {
  require(Type::object);
  const size_t place = value_.object->place(key);
  if (place == value_.object->members.size()) return false;
  value_.object->erase(place);
  return true;
}

void Json::update(const Json& other) {
  for (const auto& [key, value] : other.items()) (*this)[key] = value;
}

std::span<const Json::Member> Json::items() const {
  if (is_null()) return {};
  require(Type::object);
  return value_.object->members;
}
std::span<Json::Member> Json::items() {
  if (is_null()) return {};
  require(Type::object);
  return value_.object->members;
}

size_t Json::size() const {
  switch (type_) {
    case Type::null:
      return 0;
    case Type::array:
      return value_.array->size();
    case Type::object:
      return value_.object->members.size();
    default:
      return 1;
  }
}

bool Json::equals(const Json& other) const {
  if (is_number() && other.is_number() && type_ != other.type_) return get<double>() == other.get<double>();
  if (type_ != other.type_) return false;
  switch (type_) {
    case Type::null:
      return true;
    case Type::boolean:
      return value_.boolean == other.value_.boolean;
    case Type::integer:
      return value_.integer == other.value_.integer;
    case Type::large_integer:
      return value_.large_integer == other.value_.large_integer;
    case Type::real:
      return value_.real == other.value_.real;
    case Type::string:
      return *value_.string == *other.value_.string;
    case Type::array:
      return *value_.array == *other.value_.array;
    case Type::object:
      break;
  }
  return size() == other.size() && std::all_of(items().begin(), items().end(), [&](const Member& member) {
           const Json* theirs = other.find(member.key);
           return theirs && member.value == *theirs;
         });
}

// ---- text -----------------------------------------------------------------------------------------------------------

namespace {

using Library = nlohmann::ordered_json;

// What nlohmann's library says, without its name and number of the error.
std::string words_of(const nlohmann::detail::exception& error) {
  const std::string text = error.what();
  const size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

// Builds a value while nlohmann's parser reads the text.
class Builder : public nlohmann::json_sax<Library> {
 public:
  Json result() { return std::move(result_); }

  bool null() override { return put(Json()); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(int64_t value) override { return put(value); }
  bool number_unsigned(uint64_t value) override { return put(value); }
  bool number_float(double value, const std::string&) override { return put(value); }
  bool string(std::string& value) override { return put(std::move(value)); }
  bool binary(Library::binary_t&) override { return false; }  // only in formats other than text
  bool start_array(size_t) override { return open(Json::array()); }
  bool start_object(size_t) override { return open(Json::object()); }
  bool end_array() override { return close(); }
  bool end_object() override { return close(); }
  bool key(std::string& name) override {
    member_ = &(*open_.back())[name];
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    throw JsonError(words_of(error));
  }

 private:
  static constexpr size_t kMostLevels = 500;  // copying and destroying a value are recursive

  Json* add(Json value) {
    if (open_.empty()) {
      result_ = std::move(value);
      return &result_;
    }
    if (open_.back()->is_object()) {
      *member_ = std::move(value);
      return member_;
    }
    open_.back()->push_back(std::move(value));
    return &open_.back()->back();
  }
  bool put(Json value) {
    add(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (open_.size() == kMostLevels) throw JsonError(fmt::format("more than {} levels", kMostLevels));
    open_.push_back(add(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json result_;
  std::vector<Json*> open_;  // the arrays and objects around the place that is read, from the outermost
  Json* member_ = nullptr;   // where the next value of the innermost one belongs if that is an object
};

// With `bytes` a string that is not UTF-8 becomes an object of its bytes.
Library to_library(const Json& json, bool bytes) {
  switch (json.type()) {
    case Json::Type::null:
      return nullptr;
    case Json::Type::boolean:
      return json.get<bool>();
    case Json::Type::integer:
      return json.get<int64_t>();
    case Json::Type::large_integer:
      return json.get<uint64_t>();
    case Json::Type::real:
      return json.get<double>();
    case Json::Type::string: {
      std::string text = json.get<std::string>();
      if (bytes && !is_utf8(text)) return {{kBytes, to_base64(text)}};
      return text;
    }
    case Json::Type::array:
      break;
    case Json::Type::object: {
      Library::object_t members;
      // The base's emplace_back does not search for the key, which is new.
      for (const auto& [key, value] : json.items()) members.emplace_back(key, to_library(value, bytes));
      return members;
    }
  }
  Library::array_t elements;
  for (const Json& element : json) elements.push_back(to_library(element, bytes));
  return elements;
}

}  // namespace

Json parse_json(std::string_view text) {
  Builder builder;
  Library::sax_parse(text.begin(), text.end(), &builder);
  return builder.result();
}

Json parse_json_or_null(std::string_view text) {
  try {
    return parse_json(text);
  } catch (const JsonError&) {
    return {};
  }
}

static std::string text_of(const Library& json, int indent) {
  return json.dump(indent, ' ', false, Library::error_handler_t::replace);
}

std::string json_text(const Json& json, int indent) {
  return text_of(to_library(json, true), indent);
}

std::string json_text_replacing(const Json& json, int indent) {
  return text_of(to_library(json, false), indent);
}

std::ostream& operator<<(std::ostream& out, const Json& json) {
  return out << json_text_replacing(json);
}

}  // namespace moe
