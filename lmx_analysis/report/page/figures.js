// The three figures: rates by metric, means by category, cost against a metric.

// The same numbers as a table, for those who cannot use the picture.
function numbersTable(heads, rows) {
  const table = h('div', { class: 'scroll' }, plainTable(heads, rows));
  return h('details', { class: 'fold' }, h('summary', null, 'Numbers'), table);
}

function cellText(cell) {
  if (!cell) return '–';
  return `${format(cell[0])}${cell[1] === null ? '' : ` ± ${format(cell[1])}`}`;
}

// Which metrics of a task are drawn together: each family of `name_loose`, `name_strict`, and all rates.
function families(rows) {
  const isRate = (row) => row.better !== 0 && row.values.every((cell) => !cell || (cell[0] >= 0 && cell[0] <= 1));
  const found = [];
  for (const suffix of ['_loose', '_strict']) {
    const members = rows.filter((row) => row.metric.endsWith(suffix) && isRate(row));
    if (members.length > 1) found.push({ name: `constraints, ${suffix.slice(1)}`, rows: members, cut: suffix.length });
  }
  const rates = rows.filter(isRate);
  if (rates.length) found.push({ name: 'all rates', rows: rates, cut: 0 });
  const rest = rows.filter((row) => !isRate(row));
  for (const row of rest) found.push({ name: metricName(row.metric), rows: [row], cut: 0 });
  return found;
}

function ratesFigure(meta) {
  const runs = meta.runs.map((run) => run.label);
  const state = { task: 0, family: 0 };
  const controls = h('div', { class: 'controls' });
  const caption = h('figcaption', { class: 'muted' });
  const place = h('div', { class: 'plot' });
  const numbers = h('div');
  const drawn = () => {
    const family = families(meta.leaderboard[state.task].rows)[state.family];
    return {
      title: `${meta.leaderboard[state.task].task}: ${family.name}`,
      rows: family.rows.map((row) => ({
        label: metricName(family.cut ? row.metric.slice(0, -family.cut) : row.metric) + (row.better < 0 ? ' ↓' : ''),
        cells: row.values,
      })),
    };
  };
  const redraw = responsive(place, (width) => {
    const { title, rows } = drawn();
    return dotPlot(width, rows, runs, `${title}, by run; the table below has the numbers`);
  });
  const update = () => {
    const names = families(meta.leaderboard[state.task].rows).map((family, i) => [i, family.name]);
    controls.replaceChildren(
      select(
        'Task',
        meta.leaderboard.map((entry, i) => [i, entry.task]),
        state.task,
        (value) => {
          state.task = Number(value);
          state.family = 0;
          update();
        },
      ),
      select('Metrics', names, state.family, (value) => {
        state.family = Number(value);
        update();
      }),
    );
    numbers.replaceChildren(
      numbersTable(
        ['metric', ...runs],
        drawn().rows.map((row) => [row.label, ...row.cells.map(cellText)]),
      ),
    );
    caption.textContent = `${drawn().title}. ${WHISKER} ↓: lower is better.`;
    redraw();
  };
  update();
  return figure('Rates', controls, place, caption, numbers);
}

function categoriesFigure(meta, samples) {
  const runs = meta.runs.map((run) => run.label);
  const state = { task: 0, field: 0, metric: null };
  const controls = h('div', { class: 'controls' });
  const caption = h('figcaption', { class: 'muted' });
  const place = h('div', { class: 'plot' });
  const numbers = h('div');
  let fields = [];
  const rows = () => {
    const field = fields[state.field];
    const cells = field.means[state.metric];
    return field.values.map((value, i) => ({ label: value, cells: cells.map((run) => run[i]) }));
  };
  const title = () =>
    `${samples.tasks[state.task].name}: mean ${metricName(state.metric)} by ${fields[state.field].field}`;
  const redraw = responsive(place, (width) =>
    fields.length
      ? dotPlot(width, rows(), runs, `${title()}; the table below has the numbers`)
      : h('p', { class: 'muted' }, 'The documents of this task have no field with few values.'),
  );
  const load = async () => {
    const number = state.task;
    const task = samples.tasks[number];
    const found = task.metrics.length ? await jsonChunk(`categories-${number}`) : [];
    if (number !== state.task) return;
    fields = found;
    state.field = 0;
    state.metric = telling(meta, task.name, (metric) => task.metrics.includes(metric)) || inOrder(meta, task)[0];
    update();
  };
  const update = () => {
    const metrics = inOrder(meta, samples.tasks[state.task]);
    controls.replaceChildren(
      ...[
        select(
          'Task',
          samples.tasks.map((task, i) => [i, task.name]),
          state.task,
          (value) => {
            state.task = Number(value);
            load();
          },
        ),
        fields.length > 0 &&
          select(
            'Category',
            fields.map((field, i) => [i, field.field]),
            state.field,
            (value) => {
              state.field = Number(value);
              update();
            },
          ),
        fields.length > 0 &&
          select(
            'Metric',
            metrics.map((name) => [name, metricName(name)]),
            state.metric,
            (value) => {
              state.metric = value;
              update();
            },
          ),
      ].filter(Boolean),
    );
    numbers.replaceChildren(
      ...(fields.length
        ? [
            numbersTable(
              [fields[state.field].field, ...runs],
              rows().map((row) => [
                row.label,
                ...row.cells.map((cell) => cellText(cell) + (cell ? ` (n ${cell[2]})` : '')),
              ]),
            ),
          ]
        : []),
    );
    caption.textContent = fields.length ? `${title()}. ${WHISKER}` : '';
    redraw();
  };
  load();
  return figure('By category', controls, place, caption, numbers);
}

const COST_NAMES = {
  forwards: 'forwards per text',
  kept: 'tokens kept per text',
  fed: 'tokens fed per text',
  seconds: 'decoding seconds per text',
  model_seconds: 'seconds of forwards per text',
  evaluation: 'seconds of the whole evaluation',
};

function costFigure(meta) {
  const runs = meta.runs.map((run) => run.label);
  const metrics = meta.leaderboard.map((entry) => {
    const directed = entry.rows.filter((row) => row.better);
    return directed.length ? directed : entry.rows;
  });
  const first = (task) =>
    Math.max(
      0,
      metrics[task].findIndex((row) => row.metric === telling(meta, meta.leaderboard[task].task, () => true)),
    );
  const state = { task: 0, metric: first(0), cost: null };
  const controls = h('div', { class: 'controls' });
  const place = h('div', { class: 'plot' });
  const numbers = h('div');
  const caption = h('figcaption', { class: 'muted' });
  // Costs of the chosen task where every run has them, else of whole runs: the two are not mixed in one picture.
  const costs = (name) => {
    const task = meta.leaderboard[state.task].task;
    const ofTask = meta.runs.map((run) => (run.cost.tasks[task] || {})[name]);
    if (ofTask.every((value) => value !== undefined))
      return { values: ofTask, note: 'Mean cost of this task’s texts, from the traces.' };
    const evaluation = name === 'evaluation';
    return {
      values: meta.runs.map((run) => (evaluation ? run.cost.evaluation : run.cost.run[name])),
      note: evaluation
        ? 'Loading the model and scoring included.'
        : 'Mean cost of all texts of the run, whatever their task.',
    };
  };
  const points = (name) => {
    const row = metrics[state.task][state.metric];
    const { values } = costs(name);
    return meta.runs.flatMap((_, run) =>
      row && row.values[run] && typeof values[run] === 'number'
        ? [{ run, x: values[run], y: row.values[run][0], error: row.values[run][1] }]
        : [],
    );
  };
  const redraw = responsive(place, (width) => {
    const found = points(state.cost);
    if (!found.length) return h('p', { class: 'muted' }, 'No run recorded this cost.');
    return scatter(width, found, runs, COST_NAMES[state.cost], metricName(metrics[state.task][state.metric].metric));
  });
  const update = () => {
    // A cost is offered if some run has it; at first the one that most runs have.
    const offered = Object.entries(COST_NAMES).filter(([name]) => points(name).length);
    if (!offered.some(([name]) => name === state.cost)) {
      const [known] = [...offered].sort(([a], [b]) => points(b).length - points(a).length);
      state.cost = known ? known[0] : 'forwards';
    }
    controls.replaceChildren(
      select('Cost', offered, state.cost, (value) => {
        state.cost = value;
        update();
      }),
      select(
        'Task',
        meta.leaderboard.map((entry, i) => [i, entry.task]),
        state.task,
        (value) => {
          state.task = Number(value);
          state.metric = first(state.task);
          update();
        },
      ),
      select(
        'Metric',
        metrics[state.task].map((row, i) => [i, metricName(row.metric)]),
        state.metric,
        (value) => {
          state.metric = Number(value);
          update();
        },
      ),
    );
    const found = points(state.cost);
    const missing = meta.runs.length - found.length;
    const y = metrics[state.task][state.metric];
    caption.textContent = `${meta.leaderboard[state.task].task}: ${metricName(y.metric)}. ${costs(state.cost).note} ${WHISKER}${missing && found.length ? ` ${count(missing, 'run')} without this cost or metric.` : ''}`;
    numbers.replaceChildren(
      numbersTable(
        ['run', COST_NAMES[state.cost], 'metric'],
        found.map((point) => [runs[point.run], format(point.x), cellText([point.y, point.error])]),
      ),
    );
    redraw();
  };
  update();
  return section('cost', 'Cost', null, h('figure', { class: 'card' }, controls, place, caption, numbers));
}

function figure(title, ...parts) {
  return h('figure', { class: 'card' }, h('h3', null, title), parts);
}

function chartsSection(meta, samples) {
  return section(
    'charts',
    'Charts',
    null,
    legend(meta.runs.map((run) => run.label)),
    h('div', { class: 'figures' }, ratesFigure(meta), samples.size > 0 && categoriesFigure(meta, samples)),
  );
}
