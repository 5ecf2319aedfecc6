// Puts the page together from the first two chunks; texts stay packed until a sample is opened.

function themeButton() {
  const button = document.getElementById('theme');
  const order = ['auto', 'dark', 'light'];
  const set = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    button.onclick = () => set(order[(order.indexOf(theme) + 1) % order.length]);
  };
  set('auto');
}

async function main() {
  themeButton();
  const page = document.getElementById('main');
  try {
    const [meta, index] = await Promise.all([jsonChunk('meta'), jsonChunk('index')]);
    const samples = new Samples(index);
    document.getElementById('subtitle').textContent = [
      count(meta.runs.length, 'run'),
      count(meta.leaderboard.length, 'task'),
      count(samples.size, 'sample'),
      ...(meta.studies.length ? [`${meta.studies.length} ${meta.studies.length === 1 ? 'analysis' : 'analyses'}`] : []),
      `written ${meta.written} by lmx ${meta.lmx}`,
    ].join(' · ');
    const browser = samples.size > 0 && new Browser(meta, samples);
    const sections = [
      meta.runs.length > 0 && runsSection(meta),
      meta.runs.length > 0 && resultsSection(meta),
      meta.leaderboard.length > 0 && chartsSection(meta, samples),
      meta.leaderboard.length > 0 && costFigure(meta),
      ...studySections(meta),
      browser
        ? browser.section()
        : meta.runs.length > 0 && section('samples', 'Samples', 'No samples were logged; run with --log_samples to see texts here.'),
    ].filter(Boolean);
    page.replaceChildren(...sections);
    document
      .getElementById('nav')
      .replaceChildren(
        ...sections.map((part) => h('a', { href: `#${part.id}` }, part.querySelector('h2').textContent)),
      );
    if (browser) await browser.apply();
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (error) {
    page.prepend(h('p', { class: 'note', role: 'alert' }, `This report could not be drawn: ${error.message}`));
    throw error;
  } finally {
    page.setAttribute('aria-busy', 'false');
  }
}

main();
