-- What scripts see of Lua: the libraries of the dialect, over the engine's own.
--
-- Runs once in every new state, with functions of the host in `host`. Nothing of the engine's globals is reachable from a
-- script: its globals are a fresh table for every run, over `base`, and the libraries are read-only.

local host = ...

local assert, error, ipairs, next, pcall, select, type = assert, error, ipairs, next, pcall, select, type
local rawequal, rawget, rawset, setmetatable, getmetatable = rawequal, rawget, rawset, setmetatable, getmetatable
local raw_tostring, unpack, xpcall = tostring, table.unpack, xpcall
local raw_concat = table.concat
local engine_string, engine_math = string, math

-- Per run: for each table the string keys that scripts set, in their order, as a list that is also a set.
local order
-- Per run: where the last call of `next` stopped.
local walked_table, walked_keys, walked_at

-- Printing numbers ---------------------------------------------------------------------------------------------------------

-- The engine prints integers of this size as the dialect does, and anything else differently.
local PLAIN = 1e14

-- Copying a longer text than this counts as work.
local LONG = 4096

local function text(value)
  local kind = type(value)
  if kind == "string" then
    if #value > LONG then host.charge(#value) end
    return value
  end
  if kind ~= "number" then return value end
  if value == 0 then return 0 end
  if value % 1 == 0 and value < PLAIN and value > -PLAIN then return value end
  return host.number_text(value)
end

local function tostring(...)
  if select("#", ...) == 0 then error("bad argument #1 to tostring (value expected)", 2) end
  local value = ...
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then return raw_tostring(text(value)) end
  if kind == "userdata" then return host.describe(value) end
  if kind == "table" or kind == "function" then return kind .. ": 0x000000" end
  return raw_tostring(value)
end

-- Order of keys ------------------------------------------------------------------------------------------------------------

local function note(keys, key)
  if not keys[key] then
    keys[#keys + 1] = key
    keys[key] = true
  end
end

local function set(target, key, value)
  if type(target) ~= "table" then
    error("attempt to index a non-table object(" .. type(target) .. ") with key '" .. tostring(key) .. "'", 2)
  end
  if type(key) == "string" then
    local keys = order[target]
    if value == nil then
      -- A key that goes keeps its place for the time when it comes back.
      if rawget(target, key) ~= nil and not (keys and keys[key]) then
        keys = keys or {}
        order[target] = keys
        keys[key] = true
        for at = #keys, 1, -1 do keys[at + 1] = keys[at] end
        keys[1] = key
      end
    elseif rawget(target, key) == nil then
      if keys then
        note(keys, key)
      else
        order[target] = {key, [key] = true}
      end
    end
  elseif key == nil then
    error("table index is nil", 2)
  elseif key ~= key then
    error("table index is NaN", 2)
  end
  if getmetatable(target) == "library" then error("libraries are read-only", 2) end
  target[key] = value
end

local function new(target, ...)
  local keys = {}
  for at = 1, select("#", ...) do note(keys, (select(at, ...))) end
  order[target] = keys
  return target
end

local function less(left, right) return left < right end

local sort

-- Keys of a table: numbers, keys that came with the object in the order of their names, keys that the script set in its
-- order, and the rest.
local function keys_of(target)
  local keys, length = {}, 0
  while rawget(target, length + 1) ~= nil do
    length = length + 1
    keys[length] = length
  end
  local known = order[target]
  local names, others, count = nil, nil, length
  for key in next, target do
    local kind = type(key)
    if kind == "string" then
      if not (known and known[key]) then
        names = names or {}
        names[#names + 1] = key
      end
    elseif kind == "number" then
      if not (key >= 1 and key <= length and key % 1 == 0) then
        count = count + 1
        keys[count] = key
      end
    else
      others = others or {}
      others[#others + 1] = key
    end
  end
  if count > length + 1 then sort(keys, length + 1, count, less) end
  local function append(list)
    for at = 1, #list do
      local key = list[at]
      if rawget(target, key) ~= nil then
        count = count + 1
        keys[count] = key
      end
    end
  end
  if names then
    sort(names, 1, #names, less)
    append(names)
  end
  if known then append(known) end
  if others then append(others) end
  return keys
end

local libraries = {}

local function walkable(target, name)
  if type(target) ~= "table" then
    error("bad argument #1 to " .. name .. " (table expected, got " .. type(target) .. ")", 3)
  end
  return libraries[target] or target
end

local function pairs(target)
  local walked = walkable(target, "pairs")
  local keys, at = keys_of(walked), 0
  return function()
    while true do
      at = at + 1
      local key = keys[at]
      if key == nil then return nil end
      local value = walked[key]
      if value ~= nil then return key, value end
    end
  end, target, nil
end

local function ordered_next(target, key)
  local walked = walkable(target, "next")
  if key == nil then
    if next(walked) == nil then return nil end
    walked_table, walked_keys, walked_at = walked, keys_of(walked), 0
  elseif not (rawequal(walked_table, walked) and walked_keys[walked_at] == key) then
    local keys, found = keys_of(walked), nil
    for at = 1, #keys do
      if keys[at] == key then found = at end
    end
    if not found then return nil end
    walked_table, walked_keys, walked_at = walked, keys, found
  end
  while true do
    walked_at = walked_at + 1
    local following = walked_keys[walked_at]
    if following == nil then return nil end
    local value = walked[following]
    if value ~= nil then return following, value end
  end
end

-- Errors -------------------------------------------------------------------------------------------------------------------

-- A script that was stopped cannot go on by catching the error that stops it.
local function caught(ok, ...)
  if ok then return true, ... end
  local problem = ...
  if host.is_stopped(problem) then error("stopped", 0) end
  if type(problem) == "userdata" then return false, host.describe(problem) end
  return false, problem
end

local function protected(f, ...) return caught(pcall(f, ...)) end

-- The handler gives one value; one that fails itself gives its own error.
local function handled(handler, ok, ...)
  if ok then return true, ... end
  return false, (select(2, caught(pcall(handler, (...)))))
end

local function protected_with(f, handler) return handled(handler, caught(pcall(f))) end

local function unsupported(name)
  return function() error(name .. " is not supported", 2) end
end

-- Tables -------------------------------------------------------------------------------------------------------------------

-- A stable merge sort: it takes n log n steps whatever the comparison answers.
sort = function(list, first, last, is_less)
  local buffer = {}
  local width, length = 1, last - first + 1
  while width < length do
    local start = first
    while start + width <= last do
      local middle, stop = start + width, start + 2 * width - 1
      if stop > last then stop = last end
      if is_less(list[middle], list[middle - 1]) then
        local left, right, at = start, middle, 0
        while left < middle and right <= stop do
          at = at + 1
          if is_less(list[right], list[left]) then
            buffer[at] = list[right]
            right = right + 1
          else
            buffer[at] = list[left]
            left = left + 1
          end
        end
        while left < middle do
          at = at + 1
          buffer[at] = list[left]
          left = left + 1
        end
        for taken = 1, at do list[start + taken - 1] = buffer[taken] end
      end
      start = start + 2 * width
    end
    width = width * 2
  end
end

local function expect_table(value, name)
  if type(value) ~= "table" then
    error("bad argument #1 to " .. name .. " (table expected, got " .. type(value) .. ")", 3)
  end
end

local table_library = {
  getn = function(list)
    expect_table(list, "getn")
    return #list
  end,
  maxn = function(list)
    expect_table(list, "maxn")
    local largest = 0
    for key in next, list do
      if type(key) == "number" and key > largest then largest = key end
    end
    return largest
  end,
  insert = function(list, ...)
    expect_table(list, "insert")
    local count = select("#", ...)
    if count == 1 then
      list[#list + 1] = ...
      return
    end
    if count ~= 2 then error("wrong number of arguments", 2) end
    local position, value = ...
    position = host.number(position)
    if type(position) ~= "number" then error("bad argument #2 to insert (number expected)", 2) end
    local length = #list
    if position >= 1 then
      for at = length, position, -1 do list[at + 1] = list[at] end
    end
    list[position] = value
  end,
  remove = function(list, position)
    expect_table(list, "remove")
    local length = #list
    if length == 0 then return nil end
    position = position == nil and length or host.number(position)
    if type(position) ~= "number" then error("bad argument #2 to remove (number expected)", 2) end
    if position > length then return nil end
    if position < 1 then position = length end
    local removed = list[position]
    for at = position, length - 1 do list[at] = list[at + 1] end
    list[length] = nil
    return removed
  end,
  sort = function(list, is_less)
    expect_table(list, "sort")
    sort(list, 1, #list, is_less or less)
  end,
  concat = function(list, separator, first, last)
    expect_table(list, "concat")
    first, last = first or 1, last or #list
    local copy
    for at = first, last do
      local value = list[at]
      local kind = type(value)
      if kind == "number" then
        local printed = text(value)
        if not rawequal(printed, value) or value == 0 then
          if not copy then
            copy = {}
            for before = first, at - 1 do copy[before] = list[before] end
          end
          value = printed
        end
      elseif kind ~= "string" then
        error("invalid value (" .. kind .. ") at index " .. at .. " in table for concat", 2)
      end
      if copy then copy[at] = value end
    end
    return text(raw_concat(copy or list, text(separator), first, last))
  end,
}

-- Strings ------------------------------------------------------------------------------------------------------------------

local MAX_TEXT = 1000000

local function bounded(value)
  if type(value) == "string" then
    if #value > MAX_TEXT then error("string argument is longer than " .. MAX_TEXT .. " bytes", 3) end
    return value
  end
  if type(value) == "number" then return raw_tostring(text(value)) end
  error("bad argument #1 (string expected, got " .. type(value) .. ")", 3)
end

local function matches(value, pattern)
  value, pattern = bounded(value), bounded(pattern)
  local at = 0
  local function step(following, ...)
    at = following
    return ...
  end
  return function() return step(host.next_match(value, pattern, at)) end
end

local string_library = {
  byte = function(value, ...) return engine_string.byte(bounded(value), ...) end,
  char = engine_string.char,
  find = function(value, pattern, from, plain) return host.find(bounded(value), bounded(pattern), from, plain) end,
  format = function(template, ...) return host.format(bounded(template), ...) end,
  gfind = matches,
  gmatch = matches,
  len = engine_string.len,
  lower = function(value) return host.lower(bounded(value)) end,
  match = function(value, pattern, from) return host.match(bounded(value), bounded(pattern), from) end,
  reverse = function(value) return engine_string.reverse(bounded(value)) end,
  sub = function(value, ...) return engine_string.sub(bounded(value), ...) end,
  upper = function(value) return host.upper(bounded(value)) end,
  dump = unsupported("string.dump"),
  gsub = unsupported("string.gsub"),
  rep = unsupported("string.rep"),
}

getmetatable("").__index = string_library
-- Concatenation and arithmetic of strings are the engine's; nothing else is looked up in this metatable.

-- Numbers ------------------------------------------------------------------------------------------------------------------

local function tonumber(value, ...)
  if type(value) == "number" and select("#", ...) == 0 then return value end
  return host.number(value, ...)
end

local math_library = {
  huge = 1.7976931348623157e308,
  pi = engine_math.pi,
  mod = engine_math.fmod,
  pow = function(base, exponent) return base ^ exponent end,
  log10 = function(value) return engine_math.log(value, 10) end,
  random = host.random,
  randomseed = host.randomseed,
}
for _, name in ipairs {
  "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor", "fmod", "frexp", "ldexp", "log", "max",
  "min", "modf", "rad", "sin", "sinh", "sqrt", "tan", "tanh",
} do
  math_library[name] = engine_math[name]
end

-- Globals ------------------------------------------------------------------------------------------------------------------

local function library(functions)
  local facade = setmetatable({}, {
    __index = functions,
    __newindex = function() error("libraries are read-only", 2) end,
    __metatable = "library",
  })
  libraries[facade] = functions
  return facade
end

local base = {
  _VERSION = "Lua 5.1",
  assert = assert,
  error = error,
  ipairs = ipairs,
  next = ordered_next,
  pairs = pairs,
  pcall = protected,
  select = select,
  tonumber = tonumber,
  tostring = tostring,
  type = type,
  unpack = unpack,
  xpcall = protected_with,
  string = library(string_library),
  table = library(table_library),
  math = library(math_library),
  os = library { time = host.time, date = host.date },
}

function base.print(...)
  local printed = {}
  for at = 1, select("#", ...) do printed[at] = tostring((select(at, ...))) end
  host.print(raw_concat(printed, "\t"))
end

-- Tells the built-in rules, and whoever else asks, whether answers have to be those of the reference.
local navarch = {compat = false}

local required = {navarch = library(navarch), kube = library(host.kube), string = base.string, table = base.table, math = base.math, os = base.os}
base.package = library { loadlib = unsupported("package.loadlib"), loaded = library(required), preload = library {} }

function base.require(name)
  local module = required[name]
  if module == nil then error("module " .. tostring(name) .. " not found", 2) end
  return module
end

for _, name in ipairs {
  "collectgarbage", "dofile", "getfenv", "getmetatable", "load", "loadfile", "loadstring", "module", "newproxy", "rawequal",
  "rawget", "rawset", "setfenv", "setmetatable",
} do
  base[name] = unsupported(name)
end

local over_base = {__index = base}

-- Globals of scripts that are run once and called often, by mode. Only the built-in ones are: they leave nothing behind.
local kept = {[true] = setmetatable({}, {__mode = "k"}), [false] = setmetatable({}, {__mode = "k"})}

local function globals_of(main, keeps)
  local known = keeps and kept[navarch.compat][main]
  if known then return known end
  local globals = setmetatable({}, over_base)
  rawset(globals, "_G", globals)
  main(globals, text, set, new)
  if keeps then kept[navarch.compat][main] = globals end
  return globals
end

-- The function that is being called, for whoever asks where it begins.
local current

local function function_of(main, keeps, name)
  local f = rawget(globals_of(main, keeps), name)
  if f == nil then error("not found function " .. name, 0) end
  if type(f) ~= "function" then error(name .. " is a " .. type(f) .. ", not a function", 0) end
  return f
end

local function run_unprotected(main, keeps, name, ...)
  current = function_of(main, keeps, name)
  return current(...)
end

local function returned(ok, ...)
  if ok then return ... end
  error((...), 0)
end

-- Runs a script, and a function that it has defined. Errors become text that begins with the line of the script.
local function run(main, keeps, name, ...)
  order, current = {}, nil
  walked_table, walked_keys = nil, nil
  navarch.compat = host.is_compat()
  return returned(xpcall(run_unprotected, host.explain, main, keeps, name, ...))
end

-- Runs a script, and looks for a function that it has to define.
local function look(main, keeps, name)
  order = {}
  navarch.compat = host.is_compat()
  returned(xpcall(function_of, host.explain, main, keeps, name))
end

local function called() return current end

-- Lets go of what the last run has left.
local function forget()
  order, walked_table, walked_keys, current = nil, nil, nil, nil
end

return run, look, called, forget
